"""Requirements of the package: the ranges of requirements.in, those of extras separate."""

from __future__ import annotations

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.extras import EXTRAS
from scripts.package_hooks import extras, sections
from tests.harness import ROOT

RANGES = ROOT / "requirements.in"


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


def test_a_heading_starts_an_extra_and_may_include_another(tmp_path: Path) -> None:
    path = tmp_path / "requirements.in"
    path.write_text(
        "# For all:\na>=1,<2 # why\n\n# [b] for b\nc[x]>=1,<2   # why\n"
        "# [d] with [b] for d\ne>=3,<4; platform_system != 'Windows'\n"
    )
    assert sections(path) == {
        "": ["a>=1,<2"],
        "b": ["c[x]>=1,<2"],
        "d": ["c[x]>=1,<2", "e>=3,<4; platform_system != 'Windows'"],
    }
    assert extras(path)["all"] == ["c[x]>=1,<2", "e>=3,<4; platform_system != 'Windows'"]


def test_every_requirement_belongs_to_the_base_or_to_an_extra() -> None:
    written = re.findall(r"^[A-Za-z][\w.-]*", RANGES.read_text(), re.MULTILINE)
    given = names(sections(RANGES)[""]) | names(extras(RANGES)["all"])
    assert given == {canonicalize_name(name) for name in written}


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_service_knows_the_packages_of_each_extra(extra: str) -> None:
    """The packages that it looks for come from the requirements of this extra."""
    wanted = names(extras(RANGES)[extra])
    installed_by = packages_distributions()
    for module in EXTRAS[extra]:
        package = module.partition(".")[0]
        assert wanted & {canonicalize_name(each) for each in installed_by[package]}, module


def test_every_extra_is_known_to_the_service() -> None:
    assert extras(RANGES).keys() == {*EXTRAS, "all"}
