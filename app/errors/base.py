"""The base of all errors, and the three kinds that a job or a request can meet."""

from __future__ import annotations

from typing import Any, ClassVar


class GranulaError(Exception):
    """Granula failed."""

    exit_code: ClassVar[int] = 2
    """Exit code of a process that cannot start because of it."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or self.meaning()
        super().__init__(self.detail)

    @classmethod
    def meaning(cls) -> str:
        """Return the first paragraph of the docstring on one line."""
        return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())


class RequestError(GranulaError):
    """The request cannot be served."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    remedy: ClassVar[str] = "Correct the request and send it again."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.errors = errors or []
        self.headers = headers or {}
        self.members = members

    @classmethod
    def title(cls) -> str:
        return cls.meaning().rstrip(".")


class TerminalError(GranulaError):
    """A condition that no retry can fix."""

    code: ClassVar[str] = "processing_failed"


class TransientError(GranulaError):
    """A transient condition."""

    exit_code = 5
    waiting_on: ClassVar[str | None] = None
    """The service that a job with this error waits for, as shown in its status."""

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        """Seconds after which a retry makes sense, if known."""
