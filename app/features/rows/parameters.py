"""Parameters that choose rows of a job."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Where = Annotated[
    str,
    Field(
        max_length=4_000,
        description=(
            "Conditions, joined by `and`: `amount > 5 and \"E-Mail\" contains '@example.org'`."
            " Operators: =, !=, <, <=, >, >=, contains, not contains, is empty, is not empty."
            " Names and values with spaces are quoted; a quoted value is a text."
        ),
    ),
]
Search = Annotated[
    str,
    Field(
        max_length=1_000,
        pattern=r"^[^\x00]*$",
        description="Text in one of the cells, in either case.",
    ),
]
Sort = Annotated[
    str, Field(max_length=1_000, description="Column to sort by; `-amount` for the largest first.")
]
Columns = Annotated[
    str,
    Field(max_length=20_000, description='Columns to return, in this order: `id,"E-Mail"`.'),
]
Ranges = Annotated[
    str, Field(max_length=20_000, description="Only the rows with these numbers: `3,10-12`.")
]
