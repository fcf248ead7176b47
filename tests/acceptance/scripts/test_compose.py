"""docker-compose.yml and Dockerfile, checked against the code without a Docker daemon."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from app.cli.main import app
from app.config import Settings
from app.errors import request_errors
from tests.harness import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
OF_UVICORN = {"forwarded_allow_ips"}
BY_DEFAULT = {"postgres", "migrate", "api"}
EXACT_TAG = re.compile(r"[a-z0-9./-]+:(\d+\.\d+(\.\d+)?|RELEASE\.[0-9TZ-]+)(-[a-z]+)*")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


def test_every_dependency_can_meet_the_condition_that_is_waited_for(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        for awaited, how in service.get("depends_on", {}).items():
            check = services[awaited].get("healthcheck", {})
            if how["condition"] == "service_healthy":
                assert check.get("test"), (
                    f"{name} waits for the health of {awaited}, which has no check of its own"
                )
            else:
                assert how["condition"] == "service_completed_successfully"
                assert "ports" not in services[awaited], (
                    f"{name} waits for the end of {awaited}, which serves"
                )


def test_services_restart_after_a_crash_or_a_reboot(
    services: dict[str, dict[str, Any]],
) -> None:
    ends_by_itself = {"migrate", "samples", "bucket", "batch", "scale-bucket"}
    restarts = {name: service.get("restart") for name, service in services.items()}
    assert {name for name, policy in restarts.items() if policy is None} == ends_by_itself
    assert set(restarts.values()) == {None, "unless-stopped"}


def test_the_database_alone_needs_no_variable_and_matches_the_documented_url(
    services: dict[str, dict[str, Any]],
) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.findall(r"\$\{\w+(?::?\?.*)?\}", text), (
        "a variable without a default stops every command"
    )
    postgres = services["postgres"]
    given = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
        for name, value in postgres["environment"].items()
    }
    assert (given["POSTGRES_USER"], given["POSTGRES_PASSWORD"]) == ("granula_user", "granula_pass")
    assert (given["POSTGRES_DB"], postgres["ports"]) == ("granula", ["127.0.0.1:5432:5432"])


def test_variables_are_settings_and_the_batch_has_the_documented_defaults(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        if service.get("build") == ".":
            unknown = (
                {key.lower() for key in service.get("environment", {})}
                - set(Settings.model_fields)
                - OF_UVICORN
            )
            assert not unknown, f"{name} sets {unknown}, which nothing reads"
    batch = services["batch"]
    assert (batch["profiles"], batch["command"]) == (["batch"], ["python", "-m", "app", "pipeline"])
    for setting in ("ROW_BATCH_SIZE", "API_BATCH_SIZE", "API_MAX_WORKERS", "DB_ROW_BATCH_SIZE"):
        assert (
            batch["environment"][setting]
            == f"${{{setting}:-{Settings.model_fields[setting.lower()].default}}}"
        )
    for setting in ("KEY", "SECRET", "ENDPOINT_URL", "DATABASE_URL", "ML_API_URL"):
        assert setting in batch["environment"]


def started_for(name: str, services: dict[str, dict[str, Any]]) -> set[str]:
    """Return the service and all that it depends on."""
    return {name}.union(
        *(started_for(awaited, services) for awaited in services[name].get("depends_on", {}))
    )


def test_the_profile_scale_is_two_api_processes_and_three_workers_behind_a_balancer(
    services: dict[str, dict[str, Any]],
) -> None:
    assert {name for name, service in services.items() if "profiles" not in service} == BY_DEFAULT
    started = started_for("gateway", services)
    assert all("scale" in services[name].get("profiles", ["scale"]) for name in started), (
        "others would not be there"
    )
    assert started & {"api", "batch"} == set(), (
        "what works by itself must not be on the same database"
    )
    api, worker = services["scale-api"], services["scale-worker"]
    assert (api["deploy"]["replicas"], worker["deploy"]["replicas"]) == (2, 3)
    shared = ("DATABASE_URL", "QUEUE", "STORAGE_URL", "KEY", "SECRET", "ENDPOINT_URL")
    assert [api["environment"][name] for name in shared] == [
        worker["environment"][name] for name in shared
    ]
    assert "ports" not in api, "two cannot have one port"


def test_the_batch_starts_with_what_it_waits_for(
    services: dict[str, dict[str, Any]],
) -> None:
    started = started_for("batch", services)
    assert {"minio", "bucket", "samples", "ml-api", "postgres"} <= started
    assert all("batch" in services[name].get("profiles", ["batch"]) for name in started)


def test_images_of_others_have_an_exact_version(
    services: dict[str, dict[str, Any]],
) -> None:
    pulled = [service["image"] for service in services.values() if "build" not in service]
    assert pulled
    assert [image for image in pulled if not EXACT_TAG.fullmatch(image)] == []
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert EXACT_TAG.fullmatch(f"python:{python}")
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert set(bases) == {"python:${PYTHON}", "build", "${MODEL}"}


def test_one_image_serves_all_services_of_ours(
    services: dict[str, dict[str, Any]],
) -> None:
    built = [service for service in services.values() if "build" in service]
    assert {service["image"] for service in built} == {"${GRANULA_IMAGE:-granula}"}


def test_the_balancer_finds_the_api_and_does_not_buffer(
    services: dict[str, dict[str, Any]],
) -> None:
    text = re.sub(r"#.*", "", (ROOT / "deploy" / "nginx" / "nginx.conf").read_text())
    directives = dict(re.findall(r"^\s*(\w+)\s+([^;{]+);", text, re.MULTILINE))
    name, port = re.findall(r"server ([\w-]+):(\d+) resolve", text)[0]
    assert services[name]["command"][-1] == port
    assert [f"127.0.0.1:8080:{directives['listen']}"] == services["gateway"]["ports"]
    wanted = {
        "proxy_request_buffering": "off",
        "proxy_buffering": "off",
        "client_max_body_size": "0",
    }
    assert wanted.items() <= directives.items()
    (problem,) = re.findall(r"return 503 '(.*)';", text)
    error = request_errors()["unavailable"]
    assert json.loads(problem) == {
        "type": "/errors/unavailable",
        "title": error.title(),
        "status": error.status,
        "code": "unavailable",
        "detail": "No API process answers.",
        "remedy": error.remedy,
    }


def test_the_commands_exist_with_their_options(
    services: dict[str, dict[str, Any]],
) -> None:
    group = typer.main.get_command(app)
    for name, service in services.items():
        command = service.get("command", [])
        if command[:3] == ["python", "-m", "app"]:
            given = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in command[3:]]
            context = group.make_context("granula", given[:1])
            found = group.get_command(context, given[0])  # type: ignore[attr-defined]
            assert found is not None, f"{name} runs a command that is not there"
            found.make_context(given[0], given[1:], parent=context)


def test_volumes_are_declared_and_ports_are_bound_to_localhost(
    services: dict[str, dict[str, Any]],
) -> None:
    declared = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"])
    for service in services.values():
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert {name for name in named if not name.startswith((".", "/"))} <= declared
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_stage_of_the_model_has_what_its_command_imports(tmp_path: Path) -> None:
    (stage,) = re.findall(r"^FROM build AS model$(.*?)^FROM ", DOCKERFILE, re.MULTILINE | re.DOTALL)
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", stage, re.MULTILINE):
        for source in sources.split():
            copied = tmp_path / target / (Path(source).name if target.endswith("/") else "")
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copied.parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / source, copied)
    (script,) = re.findall(r"^RUN /venv/bin/python (\S+) --to ", stage, re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_the_image_is_built_in_stages_and_runs_without_privileges() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert len(stages) > 1
    (user,) = re.findall(r"^USER (\S+)$", stages[-1], re.MULTILINE)
    assert user not in ("root", "0")
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", "\n".join(stages), re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), f"{path} is copied into the image and is not here"
