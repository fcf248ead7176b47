"""Specification of a transform: the document as sent, validated and stored. docs/transform.md
explains it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    model_validator,
)

MAX_COLUMNS = 1_000
MAX_STEPS = 50
MAX_TABLE = 10_000
FLOAT_DIGITS = 15
"""Number of digits that a double keeps: a JSON number with a point or an exponent is read as one.
"""


def _exact(value: Any) -> Any:
    """Return the digits of a JSON number as written. A number with more digits than a double keeps
    was rounded before, and then has more than these too.
    """
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    exact = Decimal(str(value))
    if isinstance(value, float) and len(exact.normalize().as_tuple().digits) > FLOAT_DIGITS:
        raise ValueError(
            f"has more than {FLOAT_DIGITS} digits, of which JSON may lose some; write the number in"
            " an `expression`"
        )
    return exact


def _as_json(value: Decimal) -> int | float:
    """Return the JSON number that the value came from."""
    return int(value) if value == value.to_integral_value() else float(value)


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


Text = Annotated[str, Field(strict=True, max_length=1_000, pattern=r"^[^\x00]*$")]
Header = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Pattern = Annotated[
    str,
    Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$", description="RE2; linear in time."),
]
Format = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="As `%d/%m/%Y %H:%M`."),
]
Expression = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00]*$")]
Exact = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(max_digits=38, decimal_places=18),
    PlainSerializer(_as_json, return_type=int | float, when_used="json"),
]
Rounding = Literal["half_even", "half_up"]
Scale = Annotated[StrictInt, Field(ge=0, le=18)]


class Trim(Model):
    """Take white space away."""

    operation: Literal["trim"]
    side: Literal["both", "left", "right"] = "both"


class Case(Model):
    operation: Literal["case"]
    to: Literal["upper", "lower", "title"]


class Replace(Model):
    """Replaces every occurrence; with `regex`, `\1` in `by` stands for the first group."""

    operation: Literal["replace"]
    find: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
    by: Annotated[
        str,
        Field(
            max_length=100,
            pattern=r"^[^\x00]*$",
            description="Limited in length, since it may be inserted many times.",
        ),
    ] = ""
    regex: StrictBool = False


class Split(Model):
    """One of the pieces between separators; `part` counts from 1, or from the end if negative."""

    operation: Literal["split"]
    separator: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
    part: Literal["first", "last"] | Annotated[StrictInt, Field(ge=-100, le=100)] = "first"


class Join(Model):
    """All input columns of this column in one text."""

    operation: Literal["join"]
    separator: Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")] = " "
    skip_empty: StrictBool = True


class ValueTable(Model):
    """Replaces each value by another; values that are not in the table are rejected, kept, or
    empty.
    """

    operation: Literal["value_table"]
    table: dict[Text, Text] = Field(
        max_length=MAX_TABLE, description="Null if the text of a boolean is not known."
    )
    otherwise: Literal["reject", "keep", "empty"] = "reject"


class Default(Model):
    """A value for missing cells."""

    operation: Literal["default"]
    value: Text


class Cast(Model, title="CastStep"):
    operation: Literal["cast"]
    to: Literal["text", "integer", "number", "decimal", "boolean"]
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'", "\u00a0", "\u202f"] | None = None
    scale: Scale | None = Field(
        default=None, description="Decimals, for `decimal`: exactly so many."
    )
    rounding: Rounding | None = Field(
        default=None, description="Values with more decimals are rejected if not given."
    )
    true: list[Text] = Field(default=["true"], min_length=1, max_length=100)
    false: list[Text] = Field(default=["false"], min_length=1, max_length=100)

    @model_validator(mode="after")
    def _fits(self) -> Cast:
        if (self.to == "decimal") != (self.scale is not None):
            raise ValueError("`scale` belongs to `decimal`, and `decimal` needs it")
        if self.decimal == self.thousands:
            raise ValueError("the decimal mark and the thousands mark are the same")
        return self


class Round(Model):
    operation: Literal["round"]
    scale: Scale
    rounding: Rounding = "half_even"


class ParseDate(Model):
    """The first of the formats that fits."""

    operation: Literal["parse_date"]
    format: Format | Annotated[list[Format], Field(min_length=1, max_length=10)]


class FormatDate(Model):
    operation: Literal["format_date"]
    format: Format


class DateFormat(Model):
    """From one way to write dates to another."""

    operation: Literal["date_format"]
    from_: Format = Field(alias="from")
    to: Format


Step = Annotated[
    Trim
    | Case
    | Replace
    | Split
    | Join
    | ValueTable
    | Default
    | Cast
    | Round
    | ParseDate
    | FormatDate
    | DateFormat,
    Field(discriminator="operation"),
]


class ColumnSource(Model):
    """Where the values of a column come from, and the steps that are taken with them, in their
    order.
    """

    from_: Header | Annotated[list[Header], Field(min_length=1, max_length=20)] | None = Field(
        default=None, alias="from"
    )
    constant: Text | StrictBool | Exact | None = None
    expression: Expression | None = None
    steps: list[Step] = Field(default=[], max_length=MAX_STEPS)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = {"from_", "constant", "expression"} & self.model_fields_set
        if len(sources) != 1:
            raise ValueError("give one of `from`, `constant` and `expression`")
        (source,) = sources
        if source != "constant" and getattr(self, source) is None:
            raise ValueError("give one of `from`, `constant` and `expression`")
        return self

    @property
    def sources(self) -> list[str]:
        if self.from_ is None:
            return []
        return [self.from_] if isinstance(self.from_, str) else self.from_

    @property
    def is_empty(self) -> bool:
        """Return whether it has no values, as a column without a source in a template."""
        has_source = bool(self.sources) or self.expression is not None
        return not has_source and self.constant is None and not self.steps


class _Named(Model):
    name: Annotated[Header, Field(min_length=1)]


class OutputColumn(ColumnSource, _Named):
    """A column of the output: where its values come from, and the steps that are taken with them,
    in their order.
    """


class Mapping(Model, title="TransformMapping"):
    """The columns of the output in their order."""

    columns: list[OutputColumn] = Field(default=[], max_length=MAX_COLUMNS)
    others: Literal["drop", "keep"] = Field(
        default="drop",
        description="`keep`: the input columns that no column is made `from` follow as they are.",
    )
    drop: list[Header] = Field(default=[], max_length=MAX_COLUMNS, description="Not even then.")


class ColumnRules(Model):
    """A condition on a column of the output. Only `required` applies to missing values."""

    required: StrictBool = False
    type: Literal["text", "integer", "number", "boolean"] | None = None
    min: Exact | Format | None = None
    max: Exact | Format | None = None
    min_length: Annotated[StrictInt, Field(ge=0)] | None = None
    max_length: Annotated[StrictInt, Field(ge=0)] | None = None
    pattern: Pattern | None = None
    enum: (
        Annotated[list[Text | StrictBool | Exact], Field(min_length=1, max_length=MAX_TABLE)] | None
    ) = None
    unique: StrictBool = False


class Check(Model):
    """An expression over the columns of the output that must be true."""

    expression: Expression
    message: Annotated[str, Field(max_length=300, pattern=r"^[^\x00]*$")] | None = None


class Validation(Model):
    columns: dict[Header, ColumnRules] = Field(default={}, max_length=MAX_COLUMNS)
    unique: list[Annotated[list[Header], Field(min_length=1, max_length=20)]] = Field(
        default=[], max_length=20, description="Columns whose values together must be unique."
    )
    checks: list[Check] = Field(default=[], max_length=100)


class Specification(Model):
    """The part of the specification that is stored with the job: everything that its rows depend
    on.
    """

    mapping: Mapping
    validation: Validation = Validation()
    output_format: Literal["csv", "jsonl", "parquet", "arrow", "xlsx"] = "csv"
    header: list[str] = Field(
        default=[], description="The columns of the input; none for JSON, whose keys may be any."
    )
    extra_cells: list[str] | None = Field(
        default=None,
        description=(
            "Names of cells beyond the header that rows may have (on_bad_row=keep), as far as the"
            " mapping names them; none if no row has any."
        ),
    )
    dry_run: StrictBool = False

    def stored(self) -> dict[str, Any]:
        """Return JSON from which the specification can be restored, without members that were not
        set.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


PROPOSED = {"decide", "readings", "unknown", "suggested", "lost"}
"""Members of proposed steps that describe an open decision."""


class Undecided(ValueError):
    """A step of a template that a user must decide, with its column and its number."""

    def __init__(self, column: int, step: int) -> None:
        super().__init__("is still to be decided: edit the template, and leave `decide` out")
        self.column, self.step = column, step


def of_template(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document of a Mapping for a mapping as `POST /api/v1/jobs/mapping` proposes it and
    templates keep it; raises Undecided. A column without a proposal exists and is empty.
    """
    output = []
    for place, column in enumerate(columns):
        name, sources = column["reference_column"], column["input_columns"]
        steps = []
        for number, step in enumerate(column.get("conversion", [])):
            if step.get("decide"):
                raise Undecided(place, number)
            steps.append({key: value for key, value in step.items() if key not in PROPOSED})
        if not sources:
            output.append({"name": name, "constant": None, "steps": []})
            continue
        if len(sources) > 1 and not any(step["operation"] == "join" for step in steps):
            steps.insert(0, {"operation": "join"})
        output.append({"name": name, "from": sources, "steps": steps})
    return {"columns": output}
