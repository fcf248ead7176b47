"""Under which names the service may be asked for. A page that makes its own name point here (DNS
rebinding) sends that name in `Host`, and is of the same origin for the browser: where nobody signs
in, the name is all that tells it from a page of ours.
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
        """What is wrong with the Host of a request."""
        given = [value for name, value in headers if name == b"host"]
        if not given and http_version == "1.0":  # it may be left out there; no browser speaks that
            return None
        if len(given) != 1 or len(given[0]) > LONGEST:
            return BadHost
        return self._problem(given[0].strip(b" \t"))

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
    """The name or address of a Host header: in lower case, without port, brackets and the dot at
    the end. None if it is none.
    """
    found = HOST.fullmatch(host)
    if found is None:
        return None
    if found["v6"] is not None:
        address = found["v6"].decode()
        return address if _is_address(address) else None
    name = found["name"].decode().lower().removesuffix(".")
    return name if all(name.split(".")) else None


def _is_address(name: str) -> bool:
    """Nobody can make an address point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
