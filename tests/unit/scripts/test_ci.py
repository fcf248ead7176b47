"""The CI workflow runs what this repository has and promises."""

from __future__ import annotations

import re
from typing import Any

import yaml

from app import __version__
from tests.harness import ROOT

GITHUB = ROOT / ".github"


def jobs() -> dict[str, Any]:
    document = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())
    return dict(document["jobs"])


def test_every_supported_python_and_postgresql_is_tested() -> None:
    matrices = {
        name: job["strategy"]["matrix"] for name, job in jobs().items() if "strategy" in job
    }
    assert matrices["python"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert matrices["postgresql"]["postgresql"] == ["15", "16", "17", "18"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()


def test_every_script_that_is_run_exists() -> None:
    commands = [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]
    scripts = {name for command in commands for name in re.findall(r"\./(scripts/\w+)", command)}
    assert scripts >= {"scripts/lint", "scripts/test", "scripts/coverage"}
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o100, script


def test_every_pre_commit_hook_is_a_program_of_the_environment() -> None:
    document = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"].split()[0] for repo in document["repos"] for hook in repo["hooks"]]
    assert entries
    for entry in entries:
        assert (ROOT / entry).exists(), entry


def test_issue_forms_are_valid() -> None:
    for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        for element in form.get("body", []):
            assert element["type"] in ("textarea", "input"), path
            assert element["attributes"]["label"], path


def test_the_changelog_has_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.search(r"^## ([\d.]+) \(\d{4}-\d\d-\d\d\)$", text, re.MULTILINE)
    assert released is not None
    assert released[1] == __version__
