"""Errors that a client raises. Each is a ClientError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from granula.models import Status


class ClientError(Exception):
    """Base class of all errors of the client."""


class Unreachable(ClientError):
    """The service did not respond, or was busy, in all attempts."""


class RequestRefused(ClientError):
    """The service refused the request. `code` is stable; docs/errors.md lists all codes."""

    def __init__(self, status_code: int, problem: Mapping[str, Any]) -> None:
        self.status_code = status_code
        self.problem = dict(problem)
        """The complete response (RFC 9457)."""
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status_code}")
        self.remedy = str(problem.get("remedy", ""))
        super().__init__(f"{self.detail} {self.remedy}".strip())


class JobFailed(ClientError):
    """The job ended as `failed` or `cancelled`."""

    def __init__(self, status: Status) -> None:
        self.status = status
        reason = status.error.message if status.error is not None else "it was cancelled"
        super().__init__(f"Job {status.number} is {status.status}: {reason}")


class WaitTimeout(ClientError):
    """The job did not end in time. It continues."""


class Incomplete(ClientError):
    """Rows are missing from a download."""
