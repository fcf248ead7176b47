"""Authentication: identifies the caller of a request from its headers and applies the rate
limits.
"""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from app.api.buckets import Buckets, whole_seconds
from app.config import Settings
from app.errors import CrossSite, RateLimited, TransientError, Unauthenticated
from app.jobs.users import LOCAL, Caller, Users

logger = logging.getLogger(__name__)
COOKIE = "granula_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CHALLENGE = 'Bearer realm="granula"'


@dataclass(frozen=True, slots=True)
class Admitted:
    caller: Caller
    headers: dict[str, str]
    """Headers for the response, whatever its status."""


class Authenticator:
    def __init__(self, settings: Settings, users: Users) -> None:
        self._users = users
        self._is_required = settings.auth_required
        self._origins = frozenset(settings.cors_origins)
        self._requests = Buckets(settings.owner_requests_per_minute)
        self._failures = Buckets(settings.auth_failures_per_minute)

    async def admit(self, request: Request) -> Admitted:
        """Identify the caller. Raises Unauthenticated, CrossSite, RateLimited,
        DatabaseUnavailable.
        """
        caller = await self._caller(request)
        left, seconds = self._requests.take(caller.user_id)
        limit = self._requests.per_minute
        if not limit:
            return Admitted(caller, {})
        headers = {
            "RateLimit-Policy": f'"requests";q={limit};w=60',
            "RateLimit": f'"requests";r={left};t={whole_seconds(seconds or 60 / limit)}',
        }
        if seconds:
            raise RateLimited(
                f"At most {limit} requests per minute are allowed.",
                headers={**headers, "Retry-After": whole_seconds(seconds)},
            )
        return Admitted(caller, headers)

    async def still_admits(self, request: Request) -> bool:
        """Return whether the key or session of a request is still valid; True while the database is
        unavailable.
        """
        caller: Caller = request.scope["caller"]
        if caller.key_id is None:
            return True
        try:
            if caller.session is not None:
                return await self._users.by_session(caller.session) is not None
            key = request.headers["authorization"].partition(" ")[2].strip()
            return await self._users.by_key(key) is not None
        except TransientError:
            return True

    async def by_key(self, request: Request, key: str) -> Caller:
        """Return the caller with this key.

        Raises Unauthenticated, with the same message for every invalid key, or RateLimited.
        """
        caller = await self._users.by_key(key)
        return caller if caller is not None else self._refuse(request)

    def check_same_origin(self, request: Request, *, must_be_proven: bool) -> None:
        """Raise CrossSite for a request that a page of another site sent.

        Browsers add cookies, or their access through a firewall, to the requests of any page. With
        `must_be_proven`, a request without proof of its origin is rejected too.
        """
        proof = self._is_same_origin(request)
        if proof is False or (proof is None and must_be_proven):
            raise CrossSite

    async def _caller(self, request: Request) -> Caller:
        values = request.headers.getlist("authorization")
        scheme, _, key = values[0].partition(" ") if values else ("", "", "")
        if scheme.lower() == "bearer" and not await self._ignores_keys():
            return await self.by_key(request, key.strip() if len(values) == 1 else "")
        is_unsafe = request.method not in SAFE_METHODS
        if (cookie := request.cookies.get(COOKIE)) is not None:
            caller = await self._users.by_session(cookie)
            if caller is None:
                self._refuse(
                    request,
                    {"Set-Cookie": f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=strict"},
                )
            elif is_unsafe:
                self.check_same_origin(request, must_be_proven=True)
            return caller or LOCAL
        if self._is_required:
            raise Unauthenticated(headers={"WWW-Authenticate": CHALLENGE})
        if is_unsafe:
            self.check_same_origin(request, must_be_proven=False)
        return LOCAL

    async def _ignores_keys(self) -> bool:
        """Return whether keys are neither valid nor required. Clients that always send one then
        work without setup.
        """
        return not self._is_required and not await self._users.any_exist()

    def _refuse(self, request: Request, headers: dict[str, str] | None = None) -> Caller:
        address = _address(request)
        _, seconds = self._failures.take(address)
        if seconds:
            raise RateLimited(
                "Too many keys from this address were not valid.",
                headers={"Retry-After": whole_seconds(seconds)},
            )
        logger.warning("Rejected an invalid key from %s", address)
        challenge = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}
        raise Unauthenticated(headers={**challenge, **(headers or {})})

    def _is_same_origin(self, request: Request) -> bool | None:
        """Return None if the request does not name its origin, as with curl."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if origin is not None and origin in self._origins:
            return True
        if site not in (None, "none"):
            return site == "same-origin"
        if origin is None:
            return None
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower() != ""


def _address(request: Request) -> str:
    """Return the client's address, or its /64 network for IPv6, since one client has all of it."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host
