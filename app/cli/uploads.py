"""Commands `upload` and `fix`: send files to the server."""

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
    exit_with,
    named,
    print_status,
)
from app.cli.render import Board, board
from app.cli.text import quantity, shown, size

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
        "label",
        "processor",
        "on_duplicate",
        "filename",
        "format",
        "sheet",
        "members",
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
        "widths",
        "records",
        "record_key",
        "flatten",
        "table",
        "connection",
        "mode",
        "key",
        "template_id",
        "on_schema_change",
        "max_delete",
    }
)
"""Parameters of an upload. Repeated here because importing the server's model takes longer than
most commands run.
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
            metavar="FILES...",
            help=(
                "CSV, JSON, JSON Lines, workbooks, Parquet, Arrow, ORC, archives, also compressed; -"
                " reads standard input."
            ),
        ),
    ],
    priority: Annotated[
        int, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = 0,
    processor: Annotated[str, typer.Option(help="Processor that runs each row.")] = "rows",
    model: Annotated[str | None, typer.Option(help="How the processor `sentiment` scores.")] = None,
    on_duplicate: Annotated[
        str,
        typer.Option(
            metavar="new|existing|reject",
            help="If the same bytes were uploaded before: load them again, return the earlier "
            "upload, or refuse.",
        ),
    ] = "new",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help=(
                "Any other option of an upload (delimiter, encoding, columns, skip_rows, "
                "chunk_size, ...) or of the processor."
            ),
        ),
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="Label of the job; repeat it for several.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name to show, for a single file.")] = None,
    resumable: Annotated[
        bool | None,
        typer.Option(
            "--resumable/--plain",
            help=(
                "Resume after a broken connection (tus), or send in one piece. By default "
                "resumable from 64 MiB on."
            ),
        ),
    ] = None,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Upload files; print the id of each. With --wait, wait until their rows are done.

    Exit code: 0 all uploaded, and with --wait every row is loaded; 1 some rows were rejected or
    failed; 3 a job failed or was cancelled; 4 a file was refused; 5 the server does not respond;
    130 interrupted (uploaded files are still processed).
    """
    from app.cli.transfer import source

    if name is not None and len(files) > 1:
        raise CliError("--name needs a single file.", Exit.USAGE)
    sources = [source(file, name) for file in files]
    params = {
        "priority": priority,
        "processor": processor,
        "model": model,
        "on_duplicate": on_duplicate,
        "label": ",".join(labels) if labels else None,
    }
    values = {parameter(name): value for name, value in map(named, option or ())}
    if clash := values.keys() & {*params, "filename"}:
        raise CliError(f"{min(clash)} has an option of its own.", Exit.USAGE)
    with board(quiet) as shown_on:
        run = Run(
            connect(url),
            shown_on,
            "/upload",
            params | values,
            wait=wait,
            as_json=as_json,
            quiet=quiet,
        )
        run.resumable = resumable
        code = run.all(sources)
    exit_with(code)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "rejects ID -o rejects.csv",
        "fix ID rejects.csv --wait",
        "fix ID rejects.csv --run-unchanged",
    ),
)
def fix(
    corrected_id: Id,
    file: Annotated[
        str, typer.Argument(help="The corrected file of `rejects`; - reads standard input.")
    ],
    run_unchanged: Annotated[
        bool, typer.Option("--run-unchanged", help="Also run rows that were not edited.")
    ] = False,
    priority: Annotated[
        int | None, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = None,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Send corrected rejects: only they run again, and become results in their original places.

    Download the rejects with `rejects ID -o rejects.csv`, correct the cells, and keep the column
    _row. Rows that are still wrong stay rejected. Exit code: as for upload, for the rows that were
    sent.
    """
    from app.cli.transfer import source

    params = {"run_unchanged": "true" if run_unchanged else None, "priority": priority}
    client = connect(url)
    identifier = client.resolve(corrected_id)
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
    exit_with(code)


LIKE_A_PARAMETER = 0.85


def parameter(name: str) -> str:
    """Return the parameter for an option: its name, or `option.NAME` for an option of the
    processor.

    A name close to a parameter is sent unchanged, so that the service suggests the right one.
    """
    if name in PARAMETERS or name.startswith(OPTION):
        return name
    if get_close_matches(name.lower().replace("-", "_"), PARAMETERS, n=1, cutoff=LIKE_A_PARAMETER):
        return name
    return f"{OPTION}{name}"


class Run:
    """Uploads one file after the other in a thread, while this thread follows the jobs of the
    uploaded ones.
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
        self.prints_ids = True
        """Whether a script gets the ids of files on standard output."""
        self.ended: list[dict[str, Any]] = []
        """The final statuses, of a run that waits."""

    def all(self, sources: list[Source]) -> Exit:
        """Upload all files; return the worst outcome."""
        uploader = ThreadPoolExecutor(1)
        waiting: list[tuple[int, Source, Future[dict[str, Any]]]] = []
        try:
            for index, source in enumerate(sources):
                waiting.append((index, source, uploader.submit(self._upload, index, source)))
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

    def _upload(self, index: int, source: Source) -> dict[str, Any]:
        from app.cli.transfer import UPLOAD, send, speedometer

        speed, key = speedometer(), str(index)

        def sent(count: int) -> None:
            self._board.uploading(key, source.name, count, source.size, speed(count))

        params = (
            self._params if self._address != UPLOAD else {**self._params, "filename": source.name}
        )
        return send(
            self._client,
            self._address,
            source,
            params,
            sent,
            self._stop,
            media_type=self.media_type,
            resumable=self.resumable,
            notify=self._board.print_status,
        )

    def _uploaded(self, index: int, source: Source, future: Future[dict[str, Any]]) -> None:
        from app.cli.client import Unreachable

        try:
            body = future.result()
        except CliError as error:
            self._board.over(str(index))
            self._board.print_status(f"{shown(source.name)}: {error.message}")
            self._code = max(self._code, error.code)
            if self._as_json:
                self._board.print_json(
                    {"filename": source.name, "error": error.problem or {"detail": error.message}}
                )
            if isinstance(error, Unreachable) and not self._follower.ids:
                self._stop.set()  # the other files would fail in the same way
            return
        identifier = body["file_id"]
        if self._as_json and not self._wait:
            self._board.print_json(body)
        elif not self._as_json:
            self._tell_id(source, body)
        if self._wait:
            self._follower.add(identifier, str(index), source.name)
        else:
            self._board.over(str(index))

    def _tell_id(self, source: Source, body: dict[str, Any]) -> None:
        if not self._quiet:
            self._board.print_status(_received(source, body))
        if self.prints_ids and (not sys.stdout.isatty() or self._quiet):
            self._board.print_result(body["file_id"])

    def _ended(self, status: dict[str, Any]) -> None:
        self.ended.append(status)
        if self._as_json:
            self._board.print_json(status)

    def _tell_interrupted(self, waiting: list[tuple[int, Source, Future[dict[str, Any]]]]) -> None:
        from app.cli.waiting import go_on

        for _, source, future in waiting:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._board.print_status(_received(source, future.result()))
            else:
                self._board.print_status(f"{shown(source.name)} was not uploaded.")
        if self._follower.ids:
            print_status(go_on(self._follower.ids))


def _received(source: Source, body: dict[str, Any]) -> str:
    where = body["file_id"]
    if "corrects" in body:
        rows = body["rows"]
        verb = "runs" if rows == 1 else "run"
        return f"{shown(source.name)}: {quantity(rows, 'row')} {verb} again as {where}"
    again = ", which already existed" if body.get("duplicate") else ""
    return f"{shown(source.name)}: uploaded, {size(body['size_bytes'])}, as {where}{again}"
