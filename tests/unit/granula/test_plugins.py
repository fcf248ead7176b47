"""Names of the plug-in API, which external processors import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import granula
from granula import plugins
from tests.harness import ROOT

PROMISED = {
    "By", "CellRows", "ChecksRecords", "ChunkContext", "ChunkOutcome", "CollectsFiles", "Conclusion", "Email",
    "FileFacts", "Filled", "InvalidParameter", "KeyedTable", "MakesFile", "MissingColumn", "NewTable", "NoOptions",
    "ObjectRows", "Options", "Output", "OutputMaker", "OwnTable", "Part", "Pieces", "Processor", "RecordSchema",
    "Reduces", "ReducesParts", "Reject", "RequestError", "Rows", "Stage", "Stages", "TransientError",
    "WaitsForService", "WholeNumber", "WritesTables", "reject",
}  # fmt: skip
"""Names may be added. Removing or renaming one breaks external processors."""


def test_the_names_of_the_plugin_api_are_stable() -> None:
    assert set(plugins.__all__) >= PROMISED
    assert set(plugins.__all__) == {name for name in vars(plugins) if not _is_private(name)}


def _is_private(name: str) -> bool:
    return name.startswith("_") or name == "annotations"


def test_a_processor_needs_no_other_import() -> None:
    class Doubled(plugins.Processor):
        name = "doubled"

        def process(self, rows: plugins.Rows, context: Any) -> plugins.ChunkOutcome:
            cells = [[*row, *row] for row in rows.records()]
            return plugins.ChunkOutcome(
                plugins.CellRows((*rows.columns, *rows.columns), rows.numbers, cells)
            )

    rows = plugins.CellRows(("a",), [1, 2], [["x"], ["y"]])
    outcome = Doubled().process(rows, None)
    assert isinstance(outcome.results, plugins.CellRows)
    assert outcome.results.cells == [["x", "x"], ["y", "y"]]


def test_the_package_is_typed_and_has_the_version_of_the_service() -> None:
    assert (ROOT / "granula" / "py.typed").exists()
    assert granula.__version__ == "0.1.0"


def test_the_package_imports_neither_the_engine_nor_a_web_server() -> None:
    """A script with a client starts fast."""
    code = "import sys, granula; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert not {"fastapi", "sqlalchemy", "numpy", "uvicorn", "pydantic"} & set(done.stdout.split())
