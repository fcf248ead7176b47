"""The command line as a whole."""

from __future__ import annotations

import os
import re
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app import __version__
from app.cli import (
    api,
    backup,
    bench,
    browser,
    doctor,
    jobs,
    rows,
    serve,
    storage,
    uploads,
    users,
    worker,
)
from app.cli.common import (
    CLIENT,
    PROGRAM,
    SERVER,
    CliError,
    Exit,
    Terminated,
    examples,
    print_status,
)
from app.errors import GranulaError
from app.features import FEATURES

CLAUSE_END = re.compile(r"[:;.](?:\s|$)")


class ProgramGroup(TyperGroup):
    """All commands: listed by panel, and with errors that end as a sentence and an exit code."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands of each panel with the first clause of their help."""
        panels: dict[str, list[tuple[str, str]]] = {CLIENT: [], SERVER: []}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panel = getattr(command, "rich_help_panel", None)
            clause = CLAUSE_END.split(command.help or "", maxsplit=1)[0]
            panels[panel if isinstance(panel, str) else CLIENT].append((name, clause))
        for panel, commands in panels.items():
            with formatter.section(panel):
                formatter.write_dl(commands)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CliError as error:
            print_status(error.message)
            raise typer.Exit(int(error.code)) from None
        except GranulaError as error:
            print_status(error.detail)
            raise typer.Exit(error.exit_code) from None
        except Terminated:
            raise typer.Exit(int(Exit.TERMINATED)) from None
        except KeyboardInterrupt:
            raise typer.Exit(int(Exit.INTERRUPTED)) from None
        except BrokenPipeError:  # `... | head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


app = typer.Typer(
    cls=ProgramGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "serve",
        "upload data.csv --wait",
        "rejects ID -o rejects.csv",
        "fix ID rejects.csv --wait",
        "COMMAND --help",
    ),
)


def _show_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Granula: load large files, get trustworthy rows.

    Commands for files and jobs talk to a server: http://127.0.0.1:8000, or the one of --url or
    GRANULA_URL, with the key in GRANULA_KEY.
    """


for module in (
    uploads,
    jobs,
    rows,
    browser,
    api,
    bench,
    serve,
    worker,
    doctor,
    backup,
    storage,
    users,
):
    app.add_typer(module.app)  # without a name: its commands are top-level commands
for feature in FEATURES:
    if feature.has_commands:
        app.add_typer(feature.commands)


def run() -> None:
    """Run `python -m app`."""
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name=PROGRAM)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
