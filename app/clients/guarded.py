"""HTTP to servers that users name: the public Internet only, unless the settings allow more.

Addresses are checked when the connection is made, after its own resolution of the name: earlier
resolutions and other parsings of the URL do not count.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.clients.addresses import AddressRefused, is_public
from app.lazy import LazyModule

if TYPE_CHECKING:
    import aiohttp
    import yarl
    from aiohttp.abc import AbstractResolver
else:
    aiohttp = LazyModule("aiohttp")
    yarl = LazyModule("yarl")

MAX_URL_CHARACTERS = 2048
FIRST_FREE_PORT = 1024


def objection(url: str, *, allow_private: bool) -> str | None:
    """Return why this URL can never be used; None if it can. `allow_private` allows http and every
    address. Names are resolved only when a connection is made.
    """
    if len(url) > MAX_URL_CHARACTERS:
        return f"The URL has more than {MAX_URL_CHARACTERS} characters."
    try:
        parts, target = urlsplit(url), yarl.URL(url)
        port, host = target.port, target.raw_host
    except ValueError:
        return "The URL cannot be read."
    if target.scheme not in (("https", "http") if allow_private else ("https",)):
        return "The URL must begin with https://."
    if not host or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        return "The URL has no host, or characters that no URL has."
    if "@" in parts.netloc or "#" in url:
        return "The URL must not hold a user, a password or a fragment."
    if allow_private:
        return None
    if port not in (None, 443) and port < FIRST_FREE_PORT:
        return f"The port must be 443, or {FIRST_FREE_PORT} and above."
    # A host that a socket would parse as an address ends in a number; no name does.
    is_number = ":" in host or host.rstrip(".").rpartition(".")[2][:1].isdigit()
    if (is_number and not is_public(host)) or host.lower().rstrip(".") == "localhost":
        return "The address of the URL is not one of the public Internet."
    return None


def open_session(
    timeout: aiohttp.ClientTimeout,
    *,
    allow_private: bool,
    resolver: AbstractResolver | None = None,
) -> aiohttp.ClientSession:
    """Return a session that connects to public addresses only, unless `allow_private`. It uses no
    proxies of the environment, keeps no cookies, and leaves bodies compressed as they come.
    `resolver` is the system's by default.
    """
    from app.clients.resolver import PublicResolver

    resolver = resolver or aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(
        resolver=resolver if allow_private else PublicResolver(resolver),
        socket_factory=None if allow_private else _public_socket,
        use_dns_cache=False,
        # a kept connection would use an address that was resolved earlier
        force_close=True,
        limit=0,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _public_socket(info: Any) -> socket.socket:
    """Check the address that is about to be connected to. A URL may contain an address, which needs
    no resolver.
    """
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


def reason_of(error: BaseException) -> str:
    """Return why there is no answer: address_refused, unknown_host, tls_failed, connection_failed,
    timeout, bad_answer.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return "address_refused"
        cause = getattr(cause, "os_error", None) or cause.__cause__
    for kind, reason in (
        (TimeoutError, "timeout"),
        (aiohttp.ClientConnectorDNSError, "unknown_host"),
        (aiohttp.ClientSSLError, "tls_failed"),
        (aiohttp.InvalidURL, "address_refused"),
        (aiohttp.ClientResponseError, "bad_answer"),
    ):
        if isinstance(error, kind):
            return reason
    return "connection_failed"
