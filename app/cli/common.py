"""What the commands share: exit codes, options, and how something that went wrong becomes a
sentence.
"""

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
"""What the user typed: `scripts/granula` sets it."""
CLIENT, SERVER = "Work with files and jobs", "Run the service"
"""Panels of the help."""


class Exit(IntEnum):
    """How it went, for scripts. Of several files or jobs the worst counts, which is the highest."""

    OK = 0
    INCOMPLETE = 1
    """Some rows were rejected or failed; a proof is broken; the doctor found something."""
    USAGE = 2
    """The command line or a setting cannot be used."""
    FAILED = 3
    """A job failed or was cancelled."""
    REFUSED = 4
    """The server does not do this: an unknown id, a wrong key, a parameter or a file that it
    refuses.
    """
    UNAVAILABLE = 5
    """The server does not answer, or has no room for this now."""
    INTERRUPTED = 130
    """Ctrl-C. What was uploaded goes on."""
    TERMINATED = 143
    """The same by SIGTERM."""


class CliError(Exception):
    """Ends the command: what happened and what to do next, and the exit code."""

    def __init__(self, message: str, code: Exit, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.problem = problem
        """What the server said (RFC 9457), if it did."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


Url = Annotated[
    str,
    typer.Option(
        "--url",
        "-u",
        envvar="GRANULA_URL",
        show_default=True,
        metavar="URL",
        help=(
            "The server. A key is taken from GRANULA_KEY alone: command lines can be read by"
            " others."
        ),
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="JSON on standard output, a line for each thing, and nothing else."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait", "-w", help="Stay until all rows are done; the exit code tells how it went."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Number of a job, `file_id` or `job_id`, or the beginning of one."
    ),
]
Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...", help="Numbers of jobs, `file_id` or `job_id`, or their beginnings."
    ),
]


def named(text: str) -> tuple[str, str]:
    """The parts of NAME=VALUE; raises CliError."""
    from app.cli.text import shown

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliError(f"-O {shown(text)}: write it as NAME=VALUE.", Exit.USAGE)
    return name, value


def examples(*lines: str) -> str:
    """For the end of a help text: `(command, what it does)` pairs, one line each."""
    return "[bold]Examples[/bold]\n\n" + "\n\n".join(
        f"  [cyan]{PROGRAM} {line}[/cyan]" for line in lines
    )


def connect(url: str) -> Client:
    from app.cli.client import Client

    return Client(url, os.environ.get("GRANULA_KEY") or None)


def say(message: str) -> None:
    """For people: on standard error, so that standard output has only what was asked for."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def put(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def as_json(value: Any) -> str:
    """In a line, and in ASCII: any text survives any terminal."""
    return json.dumps(value)


def put_json(value: Any) -> None:
    put(as_json(value))


def leave(code: Exit) -> None:
    """End the command, unless all went well."""
    if code:
        raise typer.Exit(int(code))
