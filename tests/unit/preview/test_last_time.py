"""How a file with the same header was read before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from app.features.preview.beginning import Beginning
from app.features.preview.last_time import last_time
from app.features.preview.queries import EarlierFile
from app.formats.detect import Declared, detect

SAID = Declared()
ODD = "".join(f"{n}#Town {n}, north#{n * 10}\n" for n in range(1, 30))


def earlier(data: str, filename: str = "towns-01.csv", **said: Any) -> EarlierFile:
    """A file that was loaded with these settings."""
    declared = Declared(**said)
    dialect = detect(data.encode(), complete=True, declared=declared)
    return EarlierFile(
        job_id=uuid4(),
        filename=filename,
        format="csv",
        dialect=msgspec.to_builtins(dialect),
        processor="rows",
        created_at=datetime.now(UTC),
    )


def proposed(data: str, *files: EarlierFile, filename: str = "towns-02.csv") -> Any:
    return last_time(Beginning(data.encode(), True, filename), SAID, files)


def test_earlier_settings_are_proposed_for_the_same_header() -> None:
    first = earlier("id#town#people\n" + ODD, delimiter="#", quote="")
    answer = proposed("id#town#people\n7#Ulm, south#70\n" + ODD, first)
    assert answer["job_id"] == str(first.job_id)
    assert answer["settings"] == {"delimiter": "#", "quote": ""}
    assert proposed("id#town#mayors\n" + ODD, first) is None


def test_no_proposal_without_a_difference_from_detection() -> None:
    first = earlier("id;n\n1;2\n3;4\n")
    answer = proposed("id;n\n5;6\n7;8\n", first)
    assert answer["job_id"] == str(first.job_id)
    assert answer["settings"] == {}


def test_manually_skipped_lines_are_skipped_again() -> None:
    data = "a,b\nc,d\nid,name\n1,x\n2,y\n"
    first = earlier(data, skip_rows=2)
    assert proposed(data, first)["settings"]["skip_rows"] == 2


def test_a_similar_name_takes_precedence_over_a_newer_file() -> None:
    header = "id#town#people\n"
    newer = earlier(header + ODD, filename="other.csv", delimiter="#", on_bad_row="keep")
    older = earlier(header + ODD, delimiter="#")
    answer = proposed(header + ODD, newer, older)
    assert answer["job_id"] == str(older.job_id)
