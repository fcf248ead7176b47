"""load, tables and connections: files into tables of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    CliError,
    Exit,
    Json,
    Quiet,
    Url,
    connect,
    examples,
    exit_with,
    named,
    print_json,
    print_status,
)
from app.cli.render import board, table
from app.cli.text import quantity, shown

if TYPE_CHECKING:
    from app.cli.client import Client
    from app.cli.render import Board

app = typer.Typer()
MODES = "create|append|upsert|update|insert_new|replace|mirror"
POLICIES = "refuse|ignore|add_columns|rescue"
PAGE = 1000
Connection = Annotated[
    str | None,
    typer.Option(help="A database of CONNECTIONS. [default: that of the service]"),
]


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "load orders.csv --to public.orders",
        "load orders.csv --to public.orders --mode upsert --key id",
        "load prices.csv --to prices --mode create --key sku",
        "load prices.csv --to prices --mode mirror --max-delete 5% --dry-run",
        "load export.csv --to orders -O delimiter=tab -O empty=text",
    ),
)
def load(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="CSV, JSON, JSON Lines, also gzipped; - reads standard input."
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="TABLE", help="Such as public.orders.")],
    mode: Annotated[
        str, typer.Option(metavar=MODES, help="What to do with rows that already exist.")
    ] = "append",
    key: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,...", help="Columns that identify a row. [default: the primary key]"
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="An accepted mapping to the columns of the table. [default: by their names]",
        ),
    ] = None,
    on_schema_change: Annotated[
        str,
        typer.Option(metavar=POLICIES, help="What to do with columns that the table lacks."),
    ] = "refuse",
    max_delete: Annotated[
        str | None, typer.Option(metavar="ROWS|PERCENT%", help="How many rows a mirror may delete.")
    ] = None,
    connection: Connection = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the load would do, and change nothing.")
    ] = False,
    priority: Annotated[
        int, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Any other option of an upload (delimiter, encoding, ...) or of a load (empty, ...).",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name to show.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Load a file into a table, and stay until its rows are there. With --mode create the file is
    analysed first, for the types of the new table.

    Exit code: 0 every row is in the table; 1 some rows were rejected; 3 the load failed, and the
    table is as it was; 4 the file, the table or an option was refused; 5 the server does not
    answer; 130 interrupted (the server continues with what is uploaded). A dry run has the codes
    that the load would have.
    """
    from app.cli.transfer import source
    from app.cli.uploads import Run, parameter

    settings = {
        "table": to,
        "mode": mode,
        "key": key,
        "template_id": template,
        "on_schema_change": on_schema_change,
        "max_delete": max_delete,
        "connection": connection,
    }
    options = {parameter(name): value for name, value in map(named, option or ())}
    if clash := options.keys() & {*settings, "priority", "filename", "processor"}:
        raise CliError(f"{min(clash)} has an option of its own, or none here.", Exit.USAGE)
    is_new = mode == "create"
    of_load = {name: value for name, value in options.items() if name.startswith("option.")}
    if dry_run:
        of_load["option.dry_run"] = "true"
    of_upload = {name: value for name, value in options.items() if name not in of_load}
    params: dict[str, Any] = {"priority": priority, **of_upload}
    params |= {"processor": "profile"} if is_new else {**settings, **of_load}
    client = connect(url)
    with board(quiet) as shown_on:
        run = Run(
            client,
            shown_on,
            "/upload",
            params,
            wait=True,
            as_json=as_json and not is_new and not dry_run,
            quiet=quiet,
        )
        run.prints_ids = not (as_json or dry_run)
        code = run.all([source(file, name)])
        ended = run.ended
        if is_new and ended and code < Exit.FAILED:
            job_options = _options(settings, of_load)
            job = {"file_id": ended[0]["file_id"], "options": job_options, "priority": priority}
            ended = []
            code = _create(client, shown_on, job, ended)
        if ended and dry_run and code < Exit.FAILED:
            tried = client.get(f"/jobs/{ended[0]['job_id']}/result")["result"]
            if as_json:
                shown_on.print_json(tried)
            else:
                for line in told_of(to, ended[0]["summary"], tried):
                    shown_on.print_result(line)
        elif ended and as_json and (is_new or dry_run):
            shown_on.print_json(ended[0])
        elif ended and not as_json and not quiet:
            shown_on.print_status(f"{to}: {_counted(ended[0])}")
    exit_with(code)


COUNTS = ("inserted", "updated", "unchanged", "skipped", "deleted")


def _counted(status: dict[str, Any]) -> str:
    summary = status["summary"] or {}
    counts = [f"{summary[name]:,} {name}" for name in COUNTS if summary.get(name)]
    return ", ".join(counts) or "nothing has changed"


SAMPLES_SHOWN = 5
WOULD = {"inserted": "insert", "updated": "update", "deleted": "delete"}


def told_of(table_name: str, summary: dict[str, Any], tried: dict[str, Any]) -> list[str]:
    """Return the lines that say what a load would do, from the summary and the result of a dry
    run: statements, counts, changed columns and some rows.
    """
    lines = [f"{statement};" for statement in tried["statements"]]
    actions = [f"{verb} {summary.get(name) or 0:,}" for name, verb in WOULD.items()]
    left = [f"{summary[name]:,} {name}" for name in ("unchanged", "skipped") if summary.get(name)]
    rejected = tried["rows"]["rejected"]
    if rejected:
        left.append(f"{rejected:,} rejected")
    rest = f"; {', '.join(left)}" if left else ""
    lines.append(f"{table_name}: would {', '.join(actions)}{rest}. Nothing was changed.")
    for column, rows in tried.get("updated_columns", {}).items():
        lines.append(f"  {shown(column)} would change in {quantity(rows, 'row')}")
    for name, verb in WOULD.items():
        samples = tried.get("samples", {}).get(name, ())
        lines += [f"  {verb} {_sample(sample)}" for sample in samples[:SAMPLES_SHOWN]]
    return lines


def _sample(sample: dict[str, Any]) -> str:
    """Return `row 3: sku=C, price=1.50 (before: 1.40)` for a row of a dry run."""
    before = sample.get("before", {})
    cells = []
    for name, value in sample["data"].items():
        cell = f"{shown(name)}={_value(value)}"
        cells.append(f"{cell} (before: {_value(before[name])})" if name in before else cell)
    place = f"row {sample['row_number']}: " if "row_number" in sample else ""
    return place + ", ".join(cells)


def _value(value: str | None) -> str:
    return "null" if value is None else shown(value, 40)


def _options(settings: dict[str, Any], of_load: dict[str, str]) -> dict[str, Any]:
    """Return the options of a job, from those of an upload."""
    options: dict[str, Any] = {name: value for name, value in settings.items() if value}
    options |= {name.removeprefix("option."): value for name, value in of_load.items()}
    if "dry_run" in options:
        options["dry_run"] = options["dry_run"] == "true"
    if settings["key"]:
        options["key"] = settings["key"].split(",")
    return options


def _create(
    client: Client, shown_on: Board, job: dict[str, Any], ended: list[dict[str, Any]]
) -> Exit:
    """Load a file whose analysis has ended into a new table; its final status is added to
    `ended`.
    """
    from app.cli.waiting import Follower

    submitted = client.send("POST", "/jobs", json={"type": "load", **job}).json()
    follower = Follower(client, shown_on, ended.append)
    follower.add(submitted["job_id"], submitted["job_id"], "")
    follower.run()
    return follower.code


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples("tables", "tables public.orders", "tables --schema sales --json | jq -r .name"),
)
def tables(
    name: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="The table to describe.")
    ] = None,
    connection: Connection = None,
    schema: Annotated[str | None, typer.Option(help="A schema other than the default one.")] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the tables that files can be loaded into, or the columns and constraints of one."""
    client = connect(url)
    if name is not None:
        _describe(client, name, connection, as_json=as_json)
        return
    items: list[dict[str, Any]] = []
    while True:
        page = client.get(
            "/tables", connection=connection, schema=schema, limit=PAGE, offset=len(items)
        )
        items += page["items"]
        if not page["items"] or len(items) >= page["total"]:
            break
    if as_json:
        for item in items:
            print_json(item)
        return
    if not items:
        print_status("No tables.")
        return
    rows = [(item["name"], item["kind"], _count(item["estimated_rows"])) for item in items]
    table(("table", "kind", "rows (about)"), rows, frozenset({2}))


def _describe(client: Client, name: str, connection: str | None, *, as_json: bool) -> None:
    from urllib.parse import quote

    described = client.get(f"/tables/{quote(name, safe='')}", connection=connection)
    if as_json:
        print_json(described)
        return
    about = "" if described["rows_are_exact"] else "about "
    rows = "" if described["rows"] is None else f", {about}{described['rows']:,} rows"
    print_status(f"{described['name']}: {described['kind']}{rows}")
    columns = [
        (
            column["name"],
            column["type"],
            "" if column["nullable"] else "not null",
            column["generated"] or column["default"],
        )
        for column in described["columns"]
    ]
    table(("column", "type", "", "default"), columns)
    rules = [
        (rule["name"], rule["kind"].replace("_", " "), ", ".join(rule["columns"]), _refers(rule))
        for rule in described["constraints"]
        if rule["kind"] != "not_null"
    ]
    if rules:
        table(("constraint", "kind", "columns", ""), rules)


def _refers(rule: dict[str, Any]) -> str:
    if rule["references"] is None:
        return rule["definition"] or ""
    return f"{rule['references']} ({', '.join(rule['referenced_columns'])})"


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"


@app.command(rich_help_panel=CLIENT, epilog=examples("connections"))
def connections(as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the databases whose tables the server knows."""
    items = connect(url).get("/connections")["items"]
    if as_json:
        for item in items:
            print_json(item)
        return
    rows = [
        (
            item["name"] or "(the service's own)",
            item["kind"],
            item["address"],
            "yes" if item["reachable"] else "no",
        )
        for item in items
    ]
    table(("connection", "kind", "address", "reachable"), rows)
