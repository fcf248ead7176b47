"""The HTTP client of the commands. Refusals and an unreachable server become sentences for the
user.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from app.cli.common import PROGRAM, CliError, Exit
from app.cli.text import shown
from app.cli.words import explained

API = "/api/v1"
TIMEOUT = httpx.Timeout(60, connect=10)
BUSY = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.GATEWAY_TIMEOUT,
)


ANY_ID = re.compile(r"/[0-9a-f]{8}-[0-9a-f]{4}-")
SHORTEST, MOST_DIGITS, LOOKED_AT = 4, 18, 500
BEGINNING = re.compile(rf"[0-9a-f][0-9a-f-]{{{SHORTEST - 1},35}}")


class Unreachable(CliError):
    """The server did not respond: the same request may succeed later."""

    is_absent = False
    """Whether not even a connection could be made."""


class Client:
    """A client whose methods all raise CliError: Unreachable without a response, otherwise with the
    server's message.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
        self._has_key = key is not None
        headers = {"User-Agent": "granula-cli"} | (
            {"Authorization": f"Bearer {key}"} if key else {}
        )
        try:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("no host, or neither http nor https")
            # Proxies of the environment do not apply to this machine itself.
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=TIMEOUT,
                trust_env=not _is_here(parts.hostname),
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise CliError(
                f"{shown(url)!r} is not a server address ({error}). Write it as http://host:8000.",
                Exit.USAGE,
            ) from None

    def get(self, path: str, **params: Any) -> Any:
        return self.send("GET", path, params=params).json()

    def resolve(self, text: str) -> UUID:
        """Return the id that the user wrote: in full, as a job number, as `last` for the newest job,
        or as the first characters of an id of one of the newest jobs.
        """
        try:
            return UUID(text)
        except ValueError:
            pass
        plain = text.removeprefix("#").lower()
        if plain == "last":
            return self._newest()
        if plain.isdecimal() and plain.isascii() and len(plain) <= MOST_DIGITS:
            return self._by_number(int(plain))
        if not BEGINNING.fullmatch(plain):
            raise CliError(
                f"{shown(text, 60)} is not an id. Write the number of a job, `last`, an id, or at"
                f" least {SHORTEST} characters of its beginning; {PROGRAM} list shows the jobs.",
                Exit.USAGE,
            )
        jobs = self.get("/jobs", limit=LOOKED_AT)["items"]
        files = list(
            dict.fromkeys(job["file_id"] for job in jobs if job["file_id"].startswith(plain))
        )
        ids = files + [job["job_id"] for job in jobs if job["job_id"].startswith(plain)]
        if len(ids) == 1:
            return UUID(ids[0])
        if ids:
            raise CliError(f"{len(ids)} ids begin with {plain}: {', '.join(ids[:5])}.", Exit.USAGE)
        raise CliError(
            f"No id of the newest {LOOKED_AT} jobs begins with {plain}. Write it whole.",
            Exit.REFUSED,
        )

    def _newest(self) -> UUID:
        jobs = self.get("/jobs", limit=1)["items"]
        if not jobs:
            raise CliError(
                f"{self.url} has no jobs. {PROGRAM} upload FILE creates one.", Exit.REFUSED
            )
        return UUID(jobs[0]["job_id"])

    def _by_number(self, number: int) -> UUID:
        jobs = self.get("/jobs", limit=1, before=number + 1)["items"]
        if not jobs or jobs[0]["number"] != number:
            raise CliError(
                f"{self.url} has no job number {number}. {PROGRAM} list shows all jobs.",
                Exit.REFUSED,
            )
        return UUID(jobs[0]["job_id"])

    def file_and_job(self, identifier: UUID) -> tuple[str, str]:
        """Return (file_id, job_id) for either of them."""
        status = self.get(f"/status/{identifier}")
        return status["file_id"], status["job_id"]

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send a request and return the complete response. Raises CliError unless it is a
        success.
        """
        with self.stream(method, path, **arguments) as answer:
            with self._explaining():
                answer.read()
            return answer

    def ready(self) -> dict[str, Any]:
        """Return the server's readiness, also if it is not ready."""
        with self._explaining():
            answer = self._http.get("/ready")
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or "checks" not in body:
            raise self._refused(answer)
        return body

    @contextmanager
    def stream(self, method: str, path: str, **arguments: Any) -> Iterator[httpx.Response]:
        """Send a request and yield a successful response whose body is still to be read. `path` is
        below /api/v1, or begins with /api/.
        """
        address = path if path.startswith("/api/") else API + path
        with self.stream_from(method, address, **arguments) as answer:
            yield answer

    @contextmanager
    def stream_from(self, method: str, address: str, **arguments: Any) -> Iterator[httpx.Response]:
        """Send a request to any path of the server, and yield a successful response whose body is
        still to be read.
        """
        params = {
            name: value
            for name, value in (arguments.pop("params", None) or {}).items()
            if value is not None
        }
        request = self._http.build_request(method, address, params=params, **arguments)
        with self._explaining():
            answer = self._http.send(request, stream=True)
        try:
            if not answer.is_success:
                with self._explaining():
                    answer.read()
                raise self._refused(answer)
            yield answer
        finally:
            answer.close()

    def pieces(self, answer: httpx.Response) -> Iterator[bytes]:
        """Yield the body of a streamed response; raises Unreachable if it breaks off."""
        with self._explaining():
            yield from answer.iter_bytes()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            absent = Unreachable(
                f"No response from {self.url} ({error}). Is it running? {PROGRAM} serve\n"
                "Use --url or GRANULA_URL for another server.",
                Exit.UNAVAILABLE,
            )
            absent.is_absent = True
            raise absent from None
        except httpx.TimeoutException:
            raise Unreachable(
                f"{self.url} took longer than {TIMEOUT.read:g} s to respond. It may be busy: try"
                " again.",
                Exit.UNAVAILABLE,
            ) from None
        except httpx.LocalProtocolError:  # more or fewer bytes than announced
            raise CliError(
                "The file changed during the upload. Nothing was stored; try again.", Exit.REFUSED
            ) from None
        except httpx.TransportError as error:
            raise Unreachable(
                f"The connection to {self.url} broke: {error}. Try again.", Exit.UNAVAILABLE
            ) from None

    def _refused(self, answer: httpx.Response) -> CliError:
        if answer.is_redirect:
            where = shown(answer.headers.get("location", "another address"))
            return CliError(
                f"{self.url} redirects to {where}. Use that address as --url.", Exit.REFUSED
            )
        problem = _problem(answer)
        status = answer.status_code
        if problem is None:
            if status in BUSY:
                return Unreachable(
                    f"{self.url} is unavailable now (HTTP {status}). Try again.", Exit.UNAVAILABLE
                )
            return CliError(
                f"The server at {self.url} (HTTP {status}) is not Granula. Check --url and"
                " GRANULA_URL.",
                Exit.REFUSED,
            )
        lines = explained(problem)
        if status == HTTPStatus.UNAUTHORIZED:
            lines = [self._about_key()]
        elif problem.get("code") == "not_found":
            lines = [self._not_found(answer.request.url.path)]
        if status in BUSY and (seconds := answer.headers.get("retry-after")):
            lines.append(f"Try again in {shown(seconds)} s.")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in BUSY:
            lines.append(f"request_id: {shown(str(problem.get('request_id', '')))}")
        code = (
            Exit.UNAVAILABLE
            if status in BUSY or status == HTTPStatus.INSUFFICIENT_STORAGE
            else Exit.REFUSED
        )
        return CliError("\n".join(lines), code, problem)

    def _not_found(self, path: str) -> str:
        if urlsplit(self.url).path or not ANY_ID.search(path):
            return (
                f"{self.url}: not found. Check the path of --url or GRANULA_URL, and the id"
                " if you gave one."
            )
        return f"{self.url} does not know this id. {PROGRAM} list shows all jobs."

    def _about_key(self) -> str:
        if self._has_key:
            return (
                f"{self.url} does not accept the key in GRANULA_KEY: it is wrong, has expired or"
                " was revoked.\nOn the server `python -m app users keys create NAME` creates a new"
                " one."
            )
        return (
            f"{self.url} requires a key: set the environment variable GRANULA_KEY.\n"
            "On the server `python -m app users create NAME` creates one."
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _problem(answer: httpx.Response) -> dict[str, Any] | None:
    """Return the problem in a response, if Granula sent it."""
    if "json" not in answer.headers.get("content-type", ""):
        return None
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) and "code" in body else None
