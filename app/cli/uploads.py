"""upload and fix: files go to the server."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from difflib import get_close_matches
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    CliError,
    Exit,
    Id,
    Json,
    Quiet,
    Url,
    Wait,
    connect,
    examples,
    leave,
    named,
    say,
)
from app.cli.render import Board, board
from app.cli.text import shown, size

if TYPE_CHECKING:
    from app.cli.client import Client
    from app.cli.transfer import Source
    from app.cli.waiting import Follower

app = typer.Typer()
TICK_SECONDS = 0.05
OPTION = "option."
PARAMETERS = frozenset(
    {
        "priority",
        "model",
        "text_column",
        "chunk_size",
        "max_rejects",
        "processor",
        "on_duplicate",
        "filename",
        "format",
        "encoding",
        "delimiter",
        "quote",
        "escape",
        "newline",
        "skip_initial_space",
        "skip_rows",
        "header_rows",
        "skip_footer",
        "columns",
        "on_bad_row",
        "table",
        "connection",
        "mode",
        "key",
        "on_schema_change",
        "max_delete",
    }
)
"""Of an upload. Written here since the model of the server takes longer to import than most
commands run.
"""


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "upload data.csv",
        "upload *.csv --priority 9 --wait",
        "upload export.csv -O delimiter=tab -O encoding=cp1252",
        "upload reviews.csv --processor sentiment -O text_column=review --wait --json | jq .rows",
        "upload - --name today.csv < today.csv",
    ),
)
def upload(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...", help="CSV, JSON, JSON Lines, also gzipped; - reads standard input."
        ),
    ],
    priority: Annotated[
        int, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = 0,
    processor: Annotated[str, typer.Option(help="What is done with each row.")] = "rows",
    model: Annotated[str | None, typer.Option(help="How the processor `sentiment` scores.")] = None,
    on_duplicate: Annotated[
        str,
        typer.Option(
            metavar="new|existing|reject",
            help="The same bytes again: load them anew, answer with the earlier upload, or refuse.",
        ),
    ] = "new",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help=(
                "Any other option of an upload (delimiter, encoding, columns, skip_rows,"
                " chunk_size, ...), or one of "
                "the processor."
            ),
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name to show, of a single file.")] = None,
    resumable: Annotated[
        bool | None,
        typer.Option(
            "--resumable/--plain",
            help=(
                "Go on where a broken connection stopped (tus), or send in one piece. If neither:"
                " resumable from 64 MiB on."
            ),
        ),
    ] = None,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Upload files; print the id of each. With --wait, stay until their rows are done.

    Exit code: 0 all uploaded, and with --wait every row is loaded; 1 some rows were rejected or
    failed; 3 a job failed or was cancelled; 4 a file was refused; 5 the server does not answer; 130
    interrupted (what is uploaded goes on).
    """
    from app.cli.transfer import source

    if name is not None and len(files) > 1:
        raise CliError("--name goes with a single file.", Exit.USAGE)
    sources = [source(file, name) for file in files]
    params = {
        "priority": priority,
        "processor": processor,
        "model": model,
        "on_duplicate": on_duplicate,
    }
    given = {parameter(name): value for name, value in map(named, option or ())}
    if clash := given.keys() & {*params, "filename"}:
        raise CliError(f"{min(clash)} has an option of its own.", Exit.USAGE)
    with board(quiet) as shown_on:
        run = Run(
            connect(url),
            shown_on,
            "/upload",
            params | given,
            wait=wait,
            as_json=as_json,
            quiet=quiet,
        )
        run.resumable = resumable
        code = run.all(sources)
    leave(code)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "rejects ID -o rejects.csv",
        "fix ID rejects.csv --wait",
        "fix ID rejects.csv --run-unchanged",
    ),
)
def fix(
    given: Id,
    file: Annotated[
        str, typer.Argument(help="The corrected file of `rejects`; - reads standard input.")
    ],
    run_unchanged: Annotated[
        bool, typer.Option("--run-unchanged", help="Also run rows that come back as they went out.")
    ] = False,
    priority: Annotated[
        int | None, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = None,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Send corrected rejects: only they are run again, and become results in their old places.

    Take the rejects with `rejects ID -o rejects.csv`, correct the cells, keep the column _row. What
    is still wrong stays rejected. Exit code: as of upload, for the rows that were sent.
    """
    from app.cli.transfer import source

    params = {"run_unchanged": "true" if run_unchanged else None, "priority": priority}
    client = connect(url)
    identifier = client.resolve(given)
    with board(quiet) as shown_on:
        run = Run(
            client,
            shown_on,
            f"/files/{identifier}/corrections",
            params,
            wait=wait,
            as_json=as_json,
            quiet=quiet,
        )
        run.media_type = "text/csv"
        code = run.all([source(file, None)])
    leave(code)


LIKE_A_PARAMETER = 0.85


def parameter(name: str) -> str:
    """What is no parameter of an upload is an option of the processor. One that is almost a
    parameter is sent as it is, so that the service names the one that was meant; `option.NAME` says
    for sure that it is an option.
    """
    if name in PARAMETERS or name.startswith(OPTION):
        return name
    if get_close_matches(name.lower().replace("-", "_"), PARAMETERS, n=1, cutoff=LIKE_A_PARAMETER):
        return name
    return f"{OPTION}{name}"


class Run:
    """Uploads one file after the other in a thread, while this one looks after the jobs of those
    that are there.
    """

    def __init__(
        self,
        client: Client,
        shown_on: Board,
        address: str,
        params: dict[str, Any],
        *,
        wait: bool,
        as_json: bool,
        quiet: bool,
    ) -> None:
        from app.cli.waiting import Follower

        self._client = client
        self._board = shown_on
        self._address = address
        self._params = params
        self._wait = wait
        self._as_json = as_json
        self._quiet = quiet
        self._stop = Event()
        self._follower: Follower = Follower(client, shown_on, self._ended)
        self._code = Exit.OK
        self.media_type = "application/octet-stream"
        self.resumable: bool | None = None
        self.ended: list[dict[str, Any]] = []
        """The final statuses, of a run that waits."""

    def all(self, sources: list[Source]) -> Exit:
        """The worst outcome."""
        uploader = ThreadPoolExecutor(1)
        waiting: list[tuple[int, Source, Future[dict[str, Any]]]] = []
        try:
            for index, given in enumerate(sources):
                waiting.append((index, given, uploader.submit(self._upload, index, given)))
            while waiting or self._follower.ids:
                while waiting and waiting[0][2].done():
                    self._uploaded(*waiting.pop(0))
                self._follower.step()
                if waiting:
                    with suppress(TimeoutError):
                        waiting[0][2].exception(TICK_SECONDS)
                elif self._follower.ids:
                    time.sleep(TICK_SECONDS)
        except KeyboardInterrupt:
            self._stop.set()
            uploader.shutdown(cancel_futures=True)
            self._tell_interrupted(waiting)
            raise
        except CliError:
            self._stop.set()
            raise
        finally:
            uploader.shutdown(cancel_futures=True)
        return max(self._code, self._follower.code)

    def _upload(self, index: int, given: Source) -> dict[str, Any]:
        from app.cli.transfer import UPLOAD, send, speedometer

        speed, key = speedometer(), str(index)

        def sent(count: int) -> None:
            self._board.uploading(key, given.name, count, given.size, speed(count))

        params = (
            self._params if self._address != UPLOAD else {**self._params, "filename": given.name}
        )
        return send(
            self._client,
            self._address,
            given,
            params,
            sent,
            self._stop,
            media_type=self.media_type,
            resumable=self.resumable,
            told=self._board.say,
        )

    def _uploaded(self, index: int, given: Source, future: Future[dict[str, Any]]) -> None:
        from app.cli.client import Unreachable

        try:
            body = future.result()
        except CliError as error:
            self._board.over(str(index))
            self._board.say(f"{shown(given.name)}: {error.message}")
            self._code = max(self._code, error.code)
            if self._as_json:
                self._board.put_json(
                    {"filename": given.name, "error": error.problem or {"detail": error.message}}
                )
            if isinstance(error, Unreachable) and not self._follower.ids:
                self._stop.set()  # the other files would only wait for the same
            return
        identifier = body["file_id"]
        if self._as_json and not self._wait:
            self._board.put_json(body)
        elif not self._as_json:
            self._tell_id(given, body)
        if self._wait:
            self._follower.add(identifier, str(index), given.name)
        else:
            self._board.over(str(index))

    def _tell_id(self, given: Source, body: dict[str, Any]) -> None:
        if not self._quiet:
            self._board.say(_received(given, body))
        if not sys.stdout.isatty() or self._quiet:
            self._board.put(body["file_id"])

    def _ended(self, status: dict[str, Any]) -> None:
        self.ended.append(status)
        if self._as_json:
            self._board.put_json(status)

    def _tell_interrupted(self, waiting: list[tuple[int, Source, Future[dict[str, Any]]]]) -> None:
        from app.cli.waiting import go_on

        for _, given, future in waiting:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._board.say(_received(given, future.result()))
            else:
                self._board.say(f"{shown(given.name)} was not uploaded.")
        if self._follower.ids:
            say(go_on(self._follower.ids))


def _received(given: Source, body: dict[str, Any]) -> str:
    where = body["file_id"]
    if "corrects" in body:
        return f"{shown(given.name)}: {body['rows']:,} rows run again as {where}"
    again = ", which was there already" if body.get("duplicate") else ""
    return f"{shown(given.name)}: uploaded, {size(body['size_bytes'])}, as {where}{again}"
