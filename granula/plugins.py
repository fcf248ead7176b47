"""The API for custom processors. Import it from here: the modules of `app` change from one release
to the next, these names do not.

docs/processors.md shows how; `PROCESSORS=package.module:Class` adds the class to the service.
"""

from __future__ import annotations

from app.errors import InvalidParameter, MissingColumn, RequestError, TransientError
from app.formats.base import CellRows, ObjectRows, Reject, Rows
from app.processors.base import (
    ChecksRecords,
    ChunkContext,
    ChunkOutcome,
    CollectsFiles,
    Conclusion,
    FileFacts,
    MakesFile,
    Output,
    OutputMaker,
    Part,
    Processor,
    Reduces,
    ReducesParts,
    WaitsForService,
    WritesTables,
)
from app.processors.options import NoOptions, Options
from app.processors.pieces import Pieces
from app.processors.stages import By, Stage, Stages
from app.processors.tables import KeyedTable, NewTable, OwnTable
from app.schemas.base import Email, Filled, RecordSchema, WholeNumber

__all__ = [
    "By",
    "CellRows",
    "ChecksRecords",
    "ChunkContext",
    "ChunkOutcome",
    "CollectsFiles",
    "Conclusion",
    "Email",
    "FileFacts",
    "Filled",
    "InvalidParameter",
    "KeyedTable",
    "MakesFile",
    "MissingColumn",
    "NewTable",
    "NoOptions",
    "ObjectRows",
    "Options",
    "Output",
    "OutputMaker",
    "OwnTable",
    "Part",
    "Pieces",
    "Processor",
    "RecordSchema",
    "Reduces",
    "ReducesParts",
    "Reject",
    "RequestError",
    "Rows",
    "Stage",
    "Stages",
    "TransientError",
    "WaitsForService",
    "WholeNumber",
    "WritesTables",
    "reject",
]


def reject(
    row_number: int, code: str, message: str, *, column: str | None = None, value: str | None = None
) -> Reject:
    """A rejected row. The service adds its line, its bytes and its text."""
    return Reject(row_number, 0, 0, 0, b"", code, message, column, value)
