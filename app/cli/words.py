"""What to do about a refusal, in the words of the command line. The service tells its clients of
routes, headers and members of the answer, none of which somebody at a terminal sees.
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
        f"Take the rejects anew by {PROGRAM} rejects ID -o FILE, and keep the names of the columns."
    ),
    "correction_invalid": "Correct these rows, or leave them out: then they stay rejected.",
    "duplicate_upload": "--on-duplicate new loads the file once more.",
    "invalid_parameter": "",
    "job_has_parts": f"Ask for the rows of each part; {PROGRAM} list shows them.",
    "missing_column": "Rename the column, or name the columns by -O columns=A,B,C.",
    "nothing_to_retry": (
        f"Only failed rows are run again. Rejected ones are corrected: {PROGRAM} rejects ID -o"
        f" FILE, then {PROGRAM} fix ID FILE."
    ),
    "quota_exceeded": f"Delete files by {PROGRAM} delete, or wait until jobs have ended.",
    "stored_bytes_gone": "Upload the file again.",
    "unknown_model": "Choose another by --model.",
    "unknown_processor": "Choose another by --processor.",
}
ROUTE = re.compile(r"[:,;]? ?(?:by )?\b(?:GET|POST|PUT|PATCH|DELETE) /\S+")
"""In a sentence that is right without it."""


def explained(problem: dict[str, Any]) -> list[str]:
    """What happened and what to do, and a line for each thing that is wrong."""
    code = str(problem.get("code", ""))
    remedy = REMEDIES.get(code, str(problem.get("remedy") or ""))
    told = [
        _sentence(ROUTE.sub("", str(problem.get("detail") or ""))),
        _sentence(ROUTE.sub("", remedy)),
    ]
    lines = [" ".join(filter(None, told))]
    if existing := problem.get("existing_id"):
        lines.append(
            f"  It is here as {shown(str(existing))}: {PROGRAM} status {shown(str(existing))}"
        )
    for wrong in problem.get("errors", ()):
        if isinstance(wrong, dict):
            name = str(wrong.get("pointer", "")).partition("/")[2] or wrong.get("pointer", "")
            lines.append(f"  {shown(str(name))}: {shown(str(wrong.get('detail', '')))}")
    return lines


def _sentence(text: str) -> str:
    """With a full stop: titles come without one."""
    line = shown(text).strip()
    return line if not line or line.endswith((".", "!", "?", ":")) else f"{line}."
