"""The contract of processors: what is refused at startup, what is declared, and how options are
read.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from app import plugins
from app.config import load_settings
from app.errors import InvalidParameter, SettingsInvalid
from app.formats.base import CellRows, Rows
from app.pipeline.preparing import _accounted
from app.processors.base import (
    Capabilities,
    ChunkContext,
    ChunkOutcome,
    Conclusion,
    FileFacts,
    Processor,
    Reduces,
    WaitsForService,
    WritesTables,
)
from app.processors.options import Options, as_json, restored, validated, validated_some
from app.processors.registry import Processors, problem_of
from app.processors.rows import RowsProcessor

HERE = __name__


class Wanted(Options):
    limit: int
    is_loud: bool = False
    names: list[str] = []  # noqa: RUF012
    reference: UUID | None = None
    word: str = ""


class DuckTyped:
    name = "duck"

    def columns(self, header: Any) -> Any:
        return header

    def process(self, rows: Any, context: Any) -> Any:
        return ChunkOutcome(rows)

    def combine(self, summaries: Any) -> dict[str, Any]:
        return {}


class Nameless(Processor):
    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows)


class WithoutProcess(Processor):
    name = "without_process"


class OldColumns(RowsProcessor):
    name = "old_columns"

    def columns(self, header: Any) -> Any:  # type: ignore[override]
        return header


class OldCheck(RowsProcessor):
    name = "old_check"

    def check(self) -> None:  # type: ignore[override]
        pass


class OldConclude(RowsProcessor):
    name = "old_conclude"

    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        return Conclusion({}, {})


class UndeclaredCollecting(RowsProcessor):
    name = "undeclared_collecting"

    def collected(self, options: Any) -> dict[Any, Any]:
        return {}


class NoTables(WritesTables, RowsProcessor):
    name = "no_tables"


class UndeclaredWait(RowsProcessor):
    name = "undeclared_wait"

    async def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:  # type: ignore[override]
        return ChunkOutcome(rows)


class OptionsOfSomethingElse(RowsProcessor):
    name = "options_of_something_else"
    options = dict  # type: ignore[assignment]


class TakesSource(Options):
    source: str = ""


class TakenOption(RowsProcessor):
    name = "taken_option"
    options = TakesSource


class Counting(Reduces, WritesTables):
    name = "counting"
    tables = ("records",)

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows)

    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        return Conclusion({}, {})


class Asking(WaitsForService):
    name = "asking"

    async def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("DuckTyped", "does not derive from granula.plugins.Processor"),
        ("Nameless", "has no name"),
        ("WithoutProcess", "process"),
        ("OldColumns", "`columns` is called otherwise"),
        ("OldCheck", "`check` is called otherwise"),
        ("OldConclude", "has `conclude`, which is what a Reduces has"),
        ("UndeclaredCollecting", "has `collected`, which is what a CollectsFiles has"),
        ("NoTables", "has no `tables`, which is what a WritesTables has"),
        ("UndeclaredWait", "exactly if it is a WaitsForService"),
        ("OptionsOfSomethingElse", "not a subclass of granula.plugins.Options"),
        ("TakenOption", "an option `source`, and that name is taken"),
        ("NotThere", "cannot be loaded"),
    ],
)
def test_a_processor_that_cannot_be_used_stops_the_service_with_the_reason(
    name: str, reason: str
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Processors([f"{HERE}:{name}"])
    assert f"'{HERE}:{name}'" in caught.value.detail
    assert reason in caught.value.detail


def test_the_capabilities_of_a_processor_are_its_base_classes() -> None:
    processors = Processors([f"{HERE}:Counting", f"{HERE}:Asking"])
    counting = processors.get("counting")
    assert not counting.stores_results
    can = processors.capabilities("counting")
    assert can == Capabilities(reduces=can.reduces, tables=frozenset({"records"}))
    assert can.reduces is counting
    assert processors.capabilities("asking").waits is processors.get("asking")
    assert processors.capabilities("rows") == Capabilities()


def test_the_processors_of_the_service_keep_the_contract() -> None:
    """The registry applies the rules for external processors to the built-in ones."""
    processors = plugins.make_processors(load_settings(_env_file=None))
    assert {name: problem_of(processors.get(name)) for name in processors.names} == dict.fromkeys(
        processors.names
    )
    assert set(processors.names) - set(processors.uploadable) == {"batch"}


def test_counts_of_the_same_name_are_added_up() -> None:
    assert RowsProcessor().combine([{"a": 1, "b": 2}, {"a": 4}]) == {"a": 5, "b": 2}
    assert RowsProcessor().combine([]) == {}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"limit": "5"}, {"limit": 5}),
        ({"limit": 5, "is_loud": "true"}, {"limit": 5, "is_loud": True}),
        ({"limit": "5", "names": '["a", "b"]'}, {"limit": 5, "names": ["a", "b"]}),
        ({"limit": "5", "word": "[1]"}, {"limit": 5, "word": "[1]"}),
        (
            {"limit": "5", "reference": "0b8f3c1e-6f0d-4a52-9d3a-3f3f6f0f2a11"},
            {"limit": 5, "reference": "0b8f3c1e-6f0d-4a52-9d3a-3f3f6f0f2a11"},
        ),
    ],
)
def test_options_are_read_from_json_and_from_texts(
    given: dict[str, Any], stored: dict[str, Any]
) -> None:
    """Options are kept as JSON, without the defaults."""
    options = validated(Wanted, "the processor p", given)
    assert as_json(options) == stored
    assert restored(Wanted, "the processor p", {**stored, "source": "s3://bucket/key"}) == options


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({"limit": 1, "lmit": 2}, "The processor p has no option 'lmit'."),
        ({}, "These options of the processor p cannot be used: limit: Field required."),
        (
            {"limit": "many"},
            (
                "These options of the processor p cannot be used: limit: Input should be a valid"
                " integer"
            ),
        ),
        (
            {"limit": 1, "names": '["a", 2]'},
            "These options of the processor p cannot be used: names",
        ),
        ({"limit": 1, "word": "a\0b"}, "An option of the processor p has a NUL character."),
    ],
)
def test_invalid_options_are_refused_by_name(given: dict[str, Any], detail: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        validated(Wanted, "the processor p", given)
    assert caught.value.detail.startswith(detail)


def test_stored_options_that_are_no_longer_valid_raise_a_clear_error() -> None:
    """A job that waited while its processor was changed fails with a sentence and is not retried
    forever.
    """
    with pytest.raises(InvalidParameter, match="limit: Field required"):
        restored(Wanted, "the processor p", {"word": "x"})


def test_incomplete_options_are_refused_only_if_a_value_is_invalid() -> None:
    assert validated_some(Wanted, "the processor p", {"is_loud": True}) is None
    with pytest.raises(InvalidParameter):
        validated_some(Wanted, "the processor p", {"is_loud": "perhaps"})


def test_a_table_that_was_not_declared_is_an_error_of_its_processor() -> None:
    processors = Processors([f"{HERE}:Counting"])
    job: Any = SimpleNamespace(
        processor=processors.get("counting"), can=processors.capabilities("counting")
    )
    rows = CellRows(["a"], [1], [["x"]])
    declared = ChunkOutcome(rows, tables={"records": []})
    assert _accounted(job, declared, rows) is declared
    with pytest.raises(
        TypeError, match="counting writes to predictions, which is not one of its `tables`"
    ):
        _accounted(job, ChunkOutcome(rows, tables={"predictions": []}), rows)


def test_the_stages_of_the_processors_start_at_the_documented_percentages() -> None:
    """The percentages are part of the documented interface."""
    processors = plugins.make_processors(load_settings(_env_file=None))
    assert {
        name: processors.get(name).stages.named
        for name in ("profile", "transform", "mapping", "rows", "batch")
    } == {
        "profile": [("queued", 0), ("splitting", 10), ("profiling", 30), ("done", 100)],
        "transform": [
            ("queued", 0),
            ("splitting", 20),
            ("transforming", 50),
            ("writing", 80),
            ("done", 100),
        ],
        "mapping": [
            ("queued", 0),
            ("profiling_input", 20),
            ("profiling_reference", 40),
            ("matching", 60),
            ("done", 100),
        ],
        "rows": [("queued", 0), ("processing", 0), ("done", 100)],
        "batch": [("queued", 0), ("processing", 0), ("done", 100)],
    }
    assert [name for name in processors.names if processors.get(name).stages.is_of_parts] == [
        "batch",
        "mapping",
    ]
