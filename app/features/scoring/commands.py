"""Commands `pipeline` and `ml-api`: score a bucket without HTTP, and run a model service for
trials.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import SERVER, examples

app = typer.Typer()


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("pipeline", "pipeline --bucket transactions --prefix 2026/ --pattern '*.csv'"),
)
def pipeline(
    bucket: Annotated[str | None, typer.Option(help="Bucket to read. [default: BUCKET]")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Prefix of the keys. [default: PREFIX]")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="Pattern for the rest of a key. [default: PATTERN]")
    ] = None,
    give_up_after: Annotated[
        float,
        typer.Option(
            min=0,
            help=(
                "Seconds without progress after which the run is left to the next start; 0: never."
            ),
        ),
    ] = 3600.0,
    log_file: Annotated[
        Path, typer.Option(help="File for the log lines, in addition to standard output.")
    ] = Path("logs/batch_pipeline.log"),
) -> None:
    """Score the transactions in a bucket once.

    Settings come from the environment: KEY, SECRET, ENDPOINT_URL, DATABASE_URL, ML_API_URL and
    others.

    Exit code: 0 every transaction is scored or invalid, 1 some failed, 2 the run could not start, 3
    it timed out, 130 interrupted. The next start continues an unfinished run.
    """
    from app.config import load_settings
    from app.errors import SettingsInvalid

    try:
        settings = load_settings()
    except SettingsInvalid as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(2) from None
    from app.pipeline.processes import Processes

    processes = Processes(settings.computing, settings.compute_memory_mb)
    # Start them while this process imports the rest: together that is most of the time of a small
    # run.
    processes.prepare("app.features.scoring.scored", settings.transaction_model.partition(":")[0])
    from app.batch import RunOptions, run

    beginning = settings.prefix if prefix is None else prefix
    key_pattern = settings.pattern if pattern is None else pattern
    keys = (
        f"{glob.escape(beginning)}{key_pattern}" if key_pattern else beginning
    )  # a prefix is not a pattern
    source = f"s3://{settings.bucket if bucket is None else bucket}/{keys}"
    raise typer.Exit(run(settings, RunOptions(source, give_up_after, log_file), processes))


@app.command("ml-api", rich_help_panel=SERVER, epilog=examples("ml-api --port 8001"))
def ml_api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    train_on: Annotated[
        int,
        typer.Option(min=1000, max=1_000_000, help="Number of generated transactions to train on."),
    ] = 20_000,
) -> None:
    """Run a model service to try the pipeline with.

    It trains a fraud model and serves predictions; PUT /faults injects failures.
    """
    # for a hundred rows, starting threads takes longer than they save
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import uvicorn

    from app.features.scoring.model_service.service import create_model_service
    from app.features.scoring.model_service.training import train

    trained = train(train_on)
    typer.echo(
        f"Trained on {trained.trained_on} made transactions; ROC AUC on others"
        f" {trained.roc_auc:.4f}"
    )
    uvicorn.run(create_model_service(trained), host=host, port=port, access_log=False)
