"""Looks up the names of servers. Apart from the client, which is imported at every start, because
aiohttp takes a tenth of a second to import.
"""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from app.clients.addresses import AddressRefused, is_public


class PublicResolver(AbstractResolver):
    """Refuses a name as soon as one of its addresses is not public: such a mixture is never
    intended.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        infos = await self._inner.resolve(host, port, family)
        if not all(is_public(info["host"]) for info in infos):
            raise AddressRefused
        return infos

    async def close(self) -> None:
        await self._inner.close()
