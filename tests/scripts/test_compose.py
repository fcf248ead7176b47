"""docker-compose.yml and Dockerfile, as far as they can be held against the code without a Docker daemon."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from app.config import Settings
from tests.harness import ROOT


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


def test_who_is_waited_for_can_be_what_it_is_waited_for(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for awaited, how in service.get("depends_on", {}).items():
            check = services[awaited].get("healthcheck", {})
            if how["condition"] == "service_healthy":
                assert check.get("test"), f"{name} waits for the health of {awaited}, which has no check of its own"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert "ports" not in services[awaited], f"{name} waits for the end of {awaited}, which serves"


def test_what_is_set_is_a_setting_and_the_batch_has_the_documented_defaults(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        if service.get("build") == ".":
            unknown = {key.lower() for key in service.get("environment", {})} - set(Settings.model_fields)
            assert not unknown, f"{name} sets {unknown}, which nothing reads"
    batch = services["batch"]
    assert (batch["profiles"], batch["command"]) == (["batch"], ["python", "-m", "app", "pipeline"])
    for setting in ("ROW_BATCH_SIZE", "API_BATCH_SIZE", "API_MAX_WORKERS", "DB_ROW_BATCH_SIZE"):
        assert batch["environment"][setting] == f"${{{setting}:-{Settings.model_fields[setting.lower()].default}}}"
    for setting in ("KEY", "SECRET", "ENDPOINT_URL", "DATABASE_URL", "ML_API_URL"):
        assert setting in batch["environment"]


def test_volumes_are_declared_and_ports_are_open_to_this_host_alone(services: dict[str, dict[str, Any]]) -> None:
    declared = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"])
    for service in services.values():
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert {name for name in named if not name.startswith((".", "/"))} <= declared
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_image_is_built_in_stages_and_runs_as_nobody_special() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    assert len(stages) > 1
    (user,) = re.findall(r"^USER (\S+)$", stages[-1], re.MULTILINE)
    assert user not in ("root", "0")
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", "\n".join(stages), re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), f"{path} is copied into the image and is not here"
