"""Exit codes, options and messages that the commands share."""

from __future__ import annotations

import json
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.cli.client import Client

DEFAULT_URL = "http://127.0.0.1:8000"
_TYPED = "granula" if Path(sys.argv[0]).stem == "granula" else "python -m app"
PROGRAM = os.environ.get("GRANULA_PROGRAM", _TYPED)
"""The command that the user typed; `scripts/granula` sets it."""
CLIENT, SERVER = "Work with files and jobs", "Run the service"
"""Panels of the help."""


class Exit(IntEnum):
    """Exit codes. For several files or jobs, the highest one, which is the worst."""

    OK = 0
    INCOMPLETE = 1
    """Some rows were rejected or failed, a proof fails, or a check found a problem."""
    USAGE = 2
    """The command line or a setting is invalid."""
    FAILED = 3
    """A job failed or was cancelled."""
    REFUSED = 4
    """The server refused: an unknown id, a wrong key, an invalid parameter or file."""
    UNAVAILABLE = 5
    """The server does not respond, or has no capacity now."""
    INTERRUPTED = 130
    """Ctrl-C. Uploaded files are still processed."""
    TERMINATED = 143
    """The same by SIGTERM."""


class CliError(Exception):
    """Ends the command with a message, a remedy and an exit code."""

    def __init__(self, message: str, code: Exit, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.problem = problem
        """The server's problem (RFC 9457), if it sent one."""


class Terminated(KeyboardInterrupt):
    """SIGTERM was received."""


Url = Annotated[
    str,
    typer.Option(
        "--url",
        "-u",
        envvar="GRANULA_URL",
        show_default=True,
        metavar="URL",
        help=(
            "URL of the server. The key comes from GRANULA_KEY only, since other users can "
            "read command lines."
        ),
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON on standard output, one line for each item, and nothing else."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait", "-w", help="Wait until all rows are done; the exit code tells the outcome."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def _job_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    from app.cli.completion import job_ids

    return job_ids(ctx, incomplete)


Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        autocompletion=_job_ids,
        help="Job number, `last`, `file_id` or `job_id`, or the first characters of an id.",
    ),
]
Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...",
        autocompletion=_job_ids,
        help="Job numbers, `last`, `file_id`s or `job_id`s, or the first characters of ids.",
    ),
]


def named(text: str) -> tuple[str, str]:
    """Return (name, value) of NAME=VALUE; raises CliError."""
    from app.cli.text import shown

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliError(f"-O {shown(text)}: write it as NAME=VALUE.", Exit.USAGE)
    return name, value


def examples(*lines: str) -> str:
    """Return the examples at the end of a help text."""
    return "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in lines)


def connect(url: str) -> Client:
    from app.cli.client import Client

    return Client(url, os.environ.get("GRANULA_KEY") or None)


def print_status(message: str) -> None:
    """Print a message for people on standard error; standard output has only the requested data."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def print_result(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def as_json(value: Any) -> str:
    """Return a line of ASCII JSON, which every terminal can show."""
    return json.dumps(value)


def print_json(value: Any) -> None:
    print_result(as_json(value))


def exit_with(code: Exit) -> None:
    """End the command with this code, unless it is success."""
    if code:
        raise typer.Exit(int(code))
