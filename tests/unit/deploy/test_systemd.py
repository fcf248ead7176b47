"""deploy/systemd against the command line and the settings."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest
import typer

from app.cli.main import app as commands
from app.config import Settings
from app.pipeline.machine import GRACE_SECONDS
from tests.harness import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def service_of(path: Path) -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
    return dict(parser["Service"])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_an_existing_command(path: Path) -> None:
    program, *words = service_of(path)["ExecStart"].split()
    assert program.endswith("/bin/granula")
    group = typer.main.get_command(commands)
    with group.make_context("granula", words, resilient_parsing=True) as context:
        command = group.get_command(context, words[0])  # type: ignore[attr-defined]
    assert command is not None
    command.make_context(words[0], words[1:])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_waits_for_running_work_and_keeps_its_data_private(path: Path) -> None:
    service = service_of(path)
    shutdown = Settings.model_fields["shutdown_seconds"].default
    assert int(service["TimeoutStopSec"]) > shutdown + GRACE_SECONDS
    assert service["StateDirectoryMode"] == "0700"
    assert service["Environment"] == f"STORAGE_DIR=/var/lib/{service['StateDirectory']}"
    assert service["DynamicUser"] == "yes"
