"""The public Python API of Granula: clients of a service, and `granula.plugins` for custom
processors.

    from granula import Client

    with Client("http://localhost:8000") as client:
        job = client.load("orders.csv")
        status = client.wait(job, progress=lambda s: print(s.progress_percent))
        for reject in client.rejects(job):
            print(reject.line, reject.message)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from app import __version__

if TYPE_CHECKING:
    from granula.client import AsyncClient, Client
    from granula.errors import (
        ClientError,
        Incomplete,
        JobFailed,
        RequestRefused,
        Unreachable,
        WaitTimeout,
    )
    from granula.models import Counts, Failure, Job, Proof, Reject, Status

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Counts",
    "Failure",
    "Incomplete",
    "Job",
    "JobFailed",
    "Proof",
    "Reject",
    "RequestRefused",
    "Status",
    "Unreachable",
    "WaitTimeout",
    "__version__",
]

_MODULES = ("granula.client", "granula.errors", "granula.models")


def __getattr__(name: str) -> Any:
    """Import the clients on first use: processors do not need them."""
    if name in __all__:
        for module in map(import_module, _MODULES):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'granula' has no attribute {name!r}")
