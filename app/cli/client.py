"""The HTTP client of the commands: what the server refuses, and a server that is not there, become
sentences.
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
    """Nothing came back: the same request may succeed later."""

    is_absent = False
    """Not even a connection came about."""


class Client:
    """Every method raises CliError: Unreachable if there is no answer, else with the server's own
    words.
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
            # What the environment says of proxies is not meant for this machine itself.
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=TIMEOUT,
                trust_env=not _is_here(parts.hostname),
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise CliError(
                f"{shown(url)!r} is no address of a server ({error}). Write it as"
                " http://host:8000.",
                Exit.USAGE,
            ) from None

    def get(self, path: str, **params: Any) -> Any:
        return self.send("GET", path, params=params).json()

    def resolve(self, text: str) -> UUID:
        """The id that somebody wrote: whole, as the number of a job, or as the beginning of an id
        of one of the newest jobs.
        """
        try:
            return UUID(text)
        except ValueError:
            pass
        plain = text.removeprefix("#").lower()
        if plain.isdecimal() and plain.isascii() and len(plain) <= MOST_DIGITS:
            return self._by_number(int(plain))
        if not BEGINNING.fullmatch(plain):
            raise CliError(
                f"{shown(text, 60)} is no id. Write the number of a job, an id, or at least"
                f" {SHORTEST} characters of its beginning; {PROGRAM} list shows the jobs.",
                Exit.USAGE,
            )
        jobs = self.get("/jobs", limit=LOOKED_AT)["items"]
        files = list(
            dict.fromkeys(job["file_id"] for job in jobs if job["file_id"].startswith(plain))
        )
        found = files + [job["job_id"] for job in jobs if job["job_id"].startswith(plain)]
        if len(found) == 1:
            return UUID(found[0])
        if found:
            raise CliError(
                f"{len(found)} ids begin with {plain}: {', '.join(found[:5])}.", Exit.USAGE
            )
        raise CliError(
            f"No id of the newest {LOOKED_AT} jobs begins with {plain}. Write it whole.",
            Exit.REFUSED,
        )

    def _by_number(self, number: int) -> UUID:
        found = self.get("/jobs", limit=1, before=number + 1)["items"]
        if not found or found[0]["number"] != number:
            raise CliError(
                f"{self.url} has no job number {number}. {PROGRAM} list shows what it has.",
                Exit.REFUSED,
            )
        return UUID(found[0]["job_id"])

    def file_and_job(self, identifier: UUID) -> tuple[str, str]:
        """Both ids, from either."""
        found = self.get(f"/status/{identifier}")
        return found["file_id"], found["job_id"]

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """A request and its whole answer, which is a success."""
        with self.stream(method, path, **arguments) as answer:
            with self._explaining():
                answer.read()
            return answer

    def ready(self) -> dict[str, Any]:
        """What the server says of itself; also when it is not ready."""
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
        """A request and its answer, a success, whose body is still to be read."""
        params = {
            name: value
            for name, value in (arguments.pop("params", None) or {}).items()
            if value is not None
        }
        request = self._http.build_request(method, API + path, params=params, **arguments)
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
        """The body of a streamed answer; raises Unreachable if it breaks off."""
        with self._explaining():
            yield from answer.iter_bytes()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            absent = Unreachable(
                f"There is no answer from {self.url} ({error}). Is it running? {PROGRAM} serve\n"
                "Another server is named by --url or GRANULA_URL.",
                Exit.UNAVAILABLE,
            )
            absent.is_absent = True
            raise absent from None
        except httpx.TimeoutException:
            raise Unreachable(
                f"{self.url} took longer than {TIMEOUT.read:g} s to answer. It may be busy: try"
                " again.",
                Exit.UNAVAILABLE,
            ) from None
        except httpx.LocalProtocolError:  # more or fewer bytes than were announced
            raise CliError(
                "The file changed while it was sent. Nothing was kept; try again.", Exit.REFUSED
            ) from None
        except httpx.TransportError as error:
            raise Unreachable(
                f"The connection to {self.url} broke: {error}. Try again.", Exit.UNAVAILABLE
            ) from None

    def _refused(self, answer: httpx.Response) -> CliError:
        if answer.is_redirect:
            where = shown(answer.headers.get("location", "another address"))
            return CliError(
                f"{self.url} sends us to {where}. Give that server as --url.", Exit.REFUSED
            )
        problem = _problem(answer)
        status = answer.status_code
        if problem is None:
            if status in BUSY:
                return Unreachable(
                    f"{self.url} cannot answer now (HTTP {status}). Try again.", Exit.UNAVAILABLE
                )
            return CliError(
                f"What answers at {self.url} (HTTP {status}) is not Granula. Check --url and"
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
                f"{self.url} has nothing here. Check the path of --url or GRANULA_URL, and the id"
                " if you gave one."
            )
        return f"{self.url} has nothing under this id. {PROGRAM} list shows what it has."

    def _about_key(self) -> str:
        if self._has_key:
            return (
                f"{self.url} does not accept the key in GRANULA_KEY: it is wrong, has expired or"
                " was revoked.\nOn the server `python -m app users keys create NAME` makes a new"
                " one."
            )
        return (
            f"{self.url} wants a key: put it into the environment variable GRANULA_KEY.\n"
            "On the server `python -m app users create NAME` makes one."
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _problem(answer: httpx.Response) -> dict[str, Any] | None:
    """What the answer says of itself, if it is one of Granula's."""
    if "json" not in answer.headers.get("content-type", ""):
        return None
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) and "code" in body else None
