"""The host names that requests may use.

A page that points its own host name at this service (DNS rebinding) sends that name in `Host` and
counts as same-origin for the browser. Without authentication, only the name tells such a page from
the dashboard.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from app.config import Settings
from app.errors import BadHost, HostNotAllowed, RequestError

HOST = re.compile(
    rb"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,255}))(?::[0-9]{0,5})?"
)
REMEMBERED, LONGEST = 1024, 300


class Hosts:
    def __init__(self, settings: Settings) -> None:
        self._is_any = "*" in settings.allowed_hosts or (
            settings.auth_required and not settings.allowed_hosts
        )
        self._names = frozenset(settings.allowed_hosts)
        self._suffixes = tuple(name[1:] for name in settings.allowed_hosts if name.startswith("*."))
        self._problem = lru_cache(REMEMBERED)(self._find_problem)

    def problem(
        self, headers: Sequence[tuple[bytes, bytes]], http_version: str
    ) -> type[RequestError] | None:
        """Return the error class for the Host of a request; None if it is allowed."""
        hosts = [value for name, value in headers if name == b"host"]
        # HTTP/1.0 may omit it, and no browser sends HTTP/1.0
        if not hosts and http_version == "1.0":
            return None
        if len(hosts) != 1 or len(hosts[0]) > LONGEST:
            return BadHost
        return self._problem(hosts[0].strip(b" \t"))

    def _find_problem(self, host: bytes) -> type[RequestError] | None:
        name = name_of(host)
        if name is None:
            return BadHost
        if self._is_any or self._is_allowed(name):
            return None
        return HostNotAllowed

    def _is_allowed(self, name: str) -> bool:
        return (
            name == "localhost"
            or name.endswith((".localhost", *self._suffixes))
            or name in self._names
            or _is_address(name)
        )


def name_of(host: bytes) -> str | None:
    """Return the name or address in a Host header: lower case, without port, brackets and final
    dot. None if it is not a valid host.
    """
    match = HOST.fullmatch(host)
    if match is None:
        return None
    if match["v6"] is not None:
        address = match["v6"].decode()
        return address if _is_address(address) else None
    name = match["name"].decode().lower().removesuffix(".")
    return name if all(name.split(".")) else None


def _is_address(name: str) -> bool:
    """Return whether `name` is an IP address, which DNS rebinding cannot redirect."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
