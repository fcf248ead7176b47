"""The command line as a whole."""

from __future__ import annotations

import os
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
from app.cli.common import PROGRAM, CliError, Exit, Terminated, examples, print_status
from app.errors import GranulaError
from app.features import FEATURES


class ExitCodeGroup(TyperGroup):
    """A group of commands whose errors end as a sentence and an exit code."""

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
    cls=ExitCodeGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
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
