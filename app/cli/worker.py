"""Command `worker`: runs the jobs that API processes accept."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.common import SERVER, CliError, Exit, examples

app = typer.Typer()


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("worker", "worker --concurrency 2", "worker --metrics-port 9100"),
)
def worker(
    concurrency: Annotated[
        int,
        typer.Option(
            min=0, max=256, help="Number of turns that run at once; 0 means MAX_CONCURRENCY."
        ),
    ] = 0,
    metrics_port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port for /health, /ready and /metrics; 0 disables them."
        ),
    ] = 0,
    metrics_host: Annotated[
        str, typer.Option(help="Address of that port; 0.0.0.0 means all addresses.")
    ] = "127.0.0.1",
) -> None:
    """Run jobs, together with any number of workers on any number of machines. Needs
    QUEUE=procrastinate.

    SIGTERM or Ctrl-C finishes the chunks in progress, claims no others, and exits. A second one
    exits at once; other workers take over the chunks when their leases expire. Exit code: 0 after
    the chunks in progress; 1 at once; 2 a setting is invalid, the schema is older than this version
    or the storage belongs to another database; 5 the database or the storage does not respond.
    """
    from app.config import load_settings

    settings = load_settings()
    if not settings.is_shared:
        raise CliError(
            "A worker needs QUEUE=procrastinate and the PostgreSQL DATABASE_URL of the API "
            "processes. With QUEUE=embedded, `serve` runs the jobs itself.",
            Exit.USAGE,
        )
    if concurrency:
        settings = settings.model_copy(update={"max_concurrency": concurrency})
    from app import worker as work

    raise typer.Exit(work.run(settings, metrics_host, metrics_port))
