"""The documents agree with the code."""

from __future__ import annotations

import re
import subprocess
import sys

from app.config import Settings, load_settings
from app.errors import request_errors
from app.states import CHUNK_MOVES, JOB_MOVES
from tests.harness import ROOT


def test_env_example_lists_every_setting_with_its_default() -> None:
    example = dict(
        re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )
    assert {name.upper() for name in Settings.model_fields} == set(example)
    for name, field in Settings.model_fields.items():
        if example[name.upper()]:
            loaded = load_settings(_env_file=None, **{name: example[name.upper()]})
            assert getattr(loaded, name) == field.default, name


def test_a_copy_of_env_example_changes_nothing() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}Run: python scripts/make_reference.py"


def test_every_error_code_is_documented_with_its_status_and_remedy() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    for code, error in request_errors().items():
        assert f"| `{code}` | {error.status} | {error.title()} | {error.remedy} |" in text


def test_every_error_has_a_page_with_causes_and_cures_and_every_page_an_error() -> None:
    pages = {path.stem: path.read_text() for path in (ROOT / "docs" / "errors").glob("*.md")}
    assert pages.keys() == request_errors().keys()
    for code, page in pages.items():
        sections = dict(re.findall(r"## (.+)\n\n([\s\S]*?)(?=\n## |\Z)", page))
        assert list(sections) == ["Why it happens", "What to do", "Example"], code
        for name in ("Why it happens", "What to do"):
            assert re.fullmatch(r"(- .{15,}\n?)+", sections[name]), (
                f"{code}: write {name} by hand, as a list"
            )


def test_every_reject_code_is_documented() -> None:
    formats = (ROOT / "docs" / "formats.md").read_text()
    source = "".join(p.read_text() for p in (ROOT / "app" / "formats").glob("*.py"))
    codes = set(re.findall(r"(?:BadCell\([^\"]*|BadRecord\(|code = )\"([a-z_0-9]+)\"", source)) | {
        "processing_failed"
    }
    codes |= set(
        re.findall(r"\"(invalid_utf8|invalid_encoding|row_too_large|nul_character)\"", source)
    )
    assert len(codes) > 10
    assert not [code for code in codes if f"`{code}`" not in formats]


def test_the_state_diagrams_show_exactly_the_legal_transitions() -> None:
    text = (ROOT / "docs" / "states.md").read_text()
    for heading, moves in (("## Job", JOB_MOVES), ("## Chunk", CHUNK_MOVES)):
        picture = text.split(heading)[1].split("```")[1]
        drawn = {(a, b) for a, b in re.findall(r"(\w+) --> (\w+)", picture)}
        legal = {(str(a), str(b)) for a, targets in moves.items() for b in targets}
        assert drawn == legal
