"""Remedies in the words of the command line. The service's own remedies name routes, headers and
members of the response, which users of a terminal do not see.
"""

from __future__ import annotations

import re
from typing import Any

from app.cli.common import PROGRAM
from app.cli.text import shown

REMEDIES = {
    "bad_header": (
        "Correct the header, or give -O skip_rows=N, -O header_rows=N or -O columns=A,B,C."
    ),
    "correction_columns": (
        f"Download the rejects again with {PROGRAM} rejects ID -o FILE, and keep the names of the columns."
    ),
    "correction_invalid": "Correct these rows, or remove them from the file: they stay rejected then.",
    "duplicate_upload": "Use --on-duplicate new to load the file again.",
    "invalid_parameter": "",
    "job_has_parts": f"Read the rows of each part; {PROGRAM} list shows the parts.",
    "missing_column": "Rename the column, or name the columns with -O columns=A,B,C.",
    "nothing_to_retry": (
        f"Only failed rows can be run again. Correct rejected ones: {PROGRAM} rejects ID -o"
        f" FILE, then {PROGRAM} fix ID FILE."
    ),
    "quota_exceeded": f"Delete files with {PROGRAM} delete, or wait until jobs have ended.",
    "table_mismatch": (
        "Name the columns with -O columns=..., or decide with --on-schema-change what to do "
        "with columns that the table lacks."
    ),
    "stored_bytes_gone": "Upload the file again.",
    "unknown_connection": f"{PROGRAM} connections lists them.",
    "unknown_table": (
        f"{PROGRAM} tables lists them. Write the name with the same capitals, or use --mode create."
    ),
    "unknown_model": "Choose another one with --model.",
    "unknown_processor": "Choose another one with --processor.",
}
ROUTE = re.compile(r"[:,;]? ?(?:by )?\b(?:GET|POST|PUT|PATCH|DELETE) /\S+")
"""A route in a sentence that is complete without it."""


def explained(problem: dict[str, Any]) -> list[str]:
    """Return what happened and what to do, and a line for each invalid item."""
    code = str(problem.get("code", ""))
    remedy = REMEDIES.get(code, str(problem.get("remedy") or ""))
    sentences = [
        _sentence(ROUTE.sub("", str(problem.get("detail") or ""))),
        _sentence(ROUTE.sub("", remedy)),
    ]
    lines = [" ".join(filter(None, sentences))]
    if existing := problem.get("existing_id"):
        lines.append(
            f"    Already uploaded as {shown(str(existing))}: {PROGRAM} status {shown(str(existing))}"
        )
    for wrong in problem.get("errors", ()):
        if isinstance(wrong, dict):
            name = str(wrong.get("pointer", "")).partition("/")[2] or wrong.get("pointer", "")
            line = f"{shown(str(name))}: {shown(str(wrong.get('detail', '')))}"
            if line.rstrip(".") not in lines[0]:  # the sentence has the first reasons
                lines.append(f"  {line}")
    return lines


def _sentence(text: str) -> str:
    """Return the text with a full stop, which titles lack."""
    line = shown(text).strip()
    return line if not line or line.endswith((".", "!", "?", ":")) else f"{line}."
