"""The lock: what is installed was tested, and the ranges promise no more."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.harness import ROOT

PAIRS = (
    ("requirements.in", "requirements.txt"),
    ("requirements-dev.in", "requirements-dev.txt"),
    ("requirements-client.in", "requirements-client.txt"),
    ("requirements-node.in", "requirements-node.txt"),
)


def asked(name: str, before: str = "") -> list[tuple[Requirement, str]]:
    """Return (requirement, reason) of each line of a file of ranges, or of those above a heading."""
    text = (ROOT / name).read_text()
    if before:
        text, heading, _ = text.partition(before)
        assert heading
    lines = text.splitlines()
    split = [line.partition("# ") for line in lines if line and not line.startswith(("#", "-r"))]
    return [(Requirement(range_.strip()), reason.strip()) for range_, _, reason in split]


def locked(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Return the pin and the hashes by package."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for pin in pins:
        requirement = Requirement(pin.partition("--hash")[0].strip())
        found[canonicalize_name(requirement.name)] = (
            requirement,
            re.findall(r"--hash=sha256:([0-9a-f]{64})", pin),
        )
    return found


def version_of(pin: Requirement) -> Version:
    (specifier,) = pin.specifier
    return Version(specifier.version)


@pytest.mark.parametrize(("ranges", "lock"), PAIRS)
def test_every_requirement_has_a_range_a_reason_and_a_lock_within_it(
    ranges: str, lock: str
) -> None:
    pins = locked(lock)
    for requirement, reason in asked(ranges):
        assert {each.operator for each in requirement.specifier} == {">=", "<"}, requirement
        assert len(reason) >= 8, requirement
        assert version_of(pins[canonicalize_name(requirement.name)][0]) in requirement.specifier, (
            requirement
        )


@pytest.mark.parametrize(("ranges", "lock"), PAIRS)
def test_a_range_of_a_0_x_package_ends_before_the_minor_that_was_not_tried(
    ranges: str, lock: str
) -> None:
    pins = locked(lock)
    for requirement, _ in asked(ranges):
        tried = version_of(pins[canonicalize_name(requirement.name)][0])
        if tried.major == 0:
            assert f"0.{tried.minor + 1}" not in requirement.specifier, requirement


@pytest.mark.parametrize("lock", [lock for _, lock in PAIRS])
def test_every_pin_is_exact_and_has_hashes(lock: str) -> None:
    for pin, hashes in locked(lock).values():
        assert [each.operator for each in pin.specifier] == ["=="], pin
        assert hashes, pin


def test_the_small_image_has_the_versions_that_were_tested() -> None:
    small, everything = locked("requirements-slim.txt"), locked("requirements.txt")
    assert {name: pin for name, pin in everything.items() if name in small} == small
    wanted = {
        canonicalize_name(each.name) for each, _ in asked("requirements.in", before="# [analysis]")
    }
    assert {"fastapi", "psycopg", "obstore"} <= wanted
    assert wanted <= set(small)
    assert not {"pyarrow", "scipy", "onnxruntime"} & set(small)


def test_the_tests_run_with_the_packages_of_users() -> None:
    development = locked("requirements-dev.txt")
    for name, (pin, _) in locked("requirements.txt").items():
        assert development[name][0].specifier == pin.specifier
        if pin.marker is None or pin.marker.evaluate():
            assert Version(version(name)) == version_of(pin)


def test_install_image_and_ci_use_the_lock() -> None:
    assert "--require-hashes" in (ROOT / "scripts" / "install").read_text()
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r ${REQUIREMENTS}" in dockerfile
    assert "ARG REQUIREMENTS=requirements.txt\n" in dockerfile
    assert "./scripts/test" in (ROOT / ".ci" / "run").read_text()
