"""Plan of a transform, from its document: every name resolved, every type known, and every mistake
reported with its place. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation

from app.features.transform.language import ExpressionError, Node, columns_of, parse
from app.features.transform.signatures import of_literal, patterns_of, type_of
from app.features.transform.spec import (
    Case,
    Cast,
    ColumnRules,
    DateFormat,
    Default,
    FormatDate,
    Join,
    ParseDate,
    Replace,
    Round,
    Specification,
    Split,
    Step,
    Trim,
    ValueTable,
)
from app.features.transform.types import (
    BOOLEAN,
    MAX_DIGITS,
    NULL,
    TEXT,
    BadFormat,
    Type,
    a,
    type_of_format,
)
from app.suggestions import did_you_mean

MAX_PROBLEMS = 20
ISO_BOUNDS = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%dT%H:%M:%S", "instant": "%Y-%m-%dT%H:%M:%SZ"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Mistake in the document, and its location: `mapping/columns/2/steps/0`."""

    pointer: str
    message: str


class BadSpecification(ValueError):
    """The document cannot be carried out."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer}: {problem.message}" for problem in problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Planned:
    """Column of the output. `constant` is the value of a constant; sources are read from the
    input.
    """

    name: str
    type: Type
    sources: Sequence[str] = ()
    constant: str | bool | Decimal | None = None
    constant_type: Type = NULL
    expression: Node | None = None
    steps: Sequence[Step] = ()

    @property
    def reads(self) -> Sequence[str]:
        """Return the columns of the input that the values depend on."""
        return self.sources if self.expression is None else sorted(columns_of(self.expression))


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    expression: Node
    message: str
    column: str
    """Name of the first column of the output that reads it."""


@dataclass(frozen=True, slots=True)
class Plan:
    columns: Sequence[Planned]
    rules: dict[str, ColumnRules]
    checks: Sequence[PlannedCheck]
    uniques: Sequence[Sequence[str]]
    reads: Sequence[str]
    """Columns of the input that are read."""
    output_format: str
    dry_run: bool
    extra_cells: Sequence[str] = ()
    """Names of the first cells beyond the header; rows need not have them."""
    kept_extra: frozenset[str] | None = None
    """If not None, reject rows for cells beyond the header except these."""
    patterns: Sequence[tuple[str, str, str | None]] = field(default=())
    """(pointer, regular expression, replacement) of patterns to be tried where they will run."""

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def plan(specification: Specification) -> Plan:
    """Make the plan; raises BadSpecification with all mistakes."""
    return _Planner(specification).plan()


class _Planner:
    def __init__(self, specification: Specification) -> None:
        self._spec = specification
        self._problems: list[Problem] = []
        self._header = specification.header
        self._extra = specification.extra_cells or []
        self._known = [*self._header, *self._extra]
        self._types = dict.fromkeys(self._known, TEXT) if self._header else None
        self._patterns: list[tuple[str, str, str | None]] = []

    def plan(self) -> Plan:
        columns = self._columns()
        types = {column.name: column.type for column in columns}
        rules = self._rules(types)
        uniques = self._uniques(types)
        checks = self._checks(types)
        if self._problems:
            raise BadSpecification(self._problems[:MAX_PROBLEMS])
        read = {name for column in columns for name in column.reads}
        reads = [name for name in self._known if name in read] if self._header else sorted(read)
        spec = self._spec
        kept_extra = None
        if spec.mapping.others == "keep" and spec.extra_cells is not None:
            kept_extra = frozenset([*reads, *spec.mapping.drop])
        return Plan(
            columns,
            rules,
            checks,
            uniques,
            reads,
            spec.output_format,
            spec.dry_run,
            self._extra,
            kept_extra,
            self._patterns,
        )

    def _wrong(self, pointer: str, message: str) -> None:
        self._problems.append(Problem(pointer, message))

    # ------------------------------------------------------------------ columns

    def _columns(self) -> list[Planned]:
        mapping = self._spec.mapping
        columns = [self._column(f"mapping/columns/{i}", i) for i in range(len(mapping.columns))]
        for i, name in enumerate(mapping.drop):
            if self._header and name not in self._known:
                self._unknown(f"mapping/drop/{i}", name)
        if mapping.others == "keep":
            if not self._header:
                self._wrong(
                    "mapping/others",
                    "The keys of a JSON file are not known before it is read; name the columns.",
                )
            used = {name for column in mapping.columns for name in column.sources}
            used.update(mapping.drop)
            columns += [Planned(name, TEXT, (name,)) for name in self._header if name not in used]
        counts = Counter(column.name for column in columns)
        for name, count in counts.items():
            if count > 1:
                message = f"The output has the column `{name[:60]}` twice."
                self._wrong("mapping/columns", message)
        if not columns:
            self._wrong("mapping/columns", "The output has no columns.")
        return columns

    def _unknown(self, pointer: str, name: str) -> None:
        self._wrong(
            pointer, f"The file has no column `{name[:60]}`.{did_you_mean(name, self._header)}"
        )

    def _column(self, pointer: str, place: int) -> Planned:
        column = self._spec.mapping.columns[place]
        sources = column.sources
        for i, name in enumerate(sources):
            if self._header and name not in self._known:
                index = f"/{i}" if len(sources) > 1 else ""
                self._unknown(f"{pointer}/from{index}", name)
        expression, type_ = None, TEXT
        if column.expression is not None:
            where = f"{pointer}/expression"
            expression, type_ = self._expression(where, column.expression, self._types)
        elif not sources:
            type_ = of_literal(column.constant)
        begins_as = type_
        steps = list(column.steps)
        if len(sources) > 1 and (not steps or not isinstance(steps[0], Join)):
            self._wrong(
                f"{pointer}/steps",
                "To combine several columns, the first step must be `join`.",
            )
        for i, step in enumerate(steps):
            where = f"{pointer}/steps/{i}"
            try:
                type_ = after(step, type_, is_joined=i == 0 and bool(sources))
            except (BadFormat, ValueError) as error:
                self._wrong(where, str(error))
                break
            if isinstance(step, Replace) and step.regex:
                self._patterns.append((f"{where}/find", step.find, step.by))
        return Planned(
            column.name,
            type_,
            tuple(sources),
            column.constant,
            begins_as,
            expression,
            tuple(steps),
        )

    def _expression(
        self,
        pointer: str,
        text: str,
        types: dict[str, Type] | None,
        *,
        is_condition: bool = False,
    ) -> tuple[Node | None, Type]:
        try:
            node = parse(text)
            type_ = type_of(node, types)
            if type_ == NULL:
                raise ExpressionError("The expression is always null.", node.place)
            if is_condition and type_ != BOOLEAN:
                message = f"This must be a condition, but is {a(type_)}."
                raise ExpressionError(message, node.place)
        except ExpressionError as error:
            self._wrong(pointer, f"At character {error.place}: {error.message}")
            return None, TEXT
        self._patterns += [(pointer, pattern, None) for pattern, _ in patterns_of(node)]
        return node, type_

    # ------------------------------------------------------------------ validation

    def _rules(self, types: dict[str, Type]) -> dict[str, ColumnRules]:
        for name, rules in self._spec.validation.columns.items():
            pointer = f"validation/columns/{name[:60]}"
            if name not in types:
                self._no_output(pointer, name, types)
                continue
            self._rule(pointer, rules, types[name])
        return self._spec.validation.columns

    def _no_output(self, pointer: str, name: str, types: dict[str, Type]) -> None:
        message = f"The output has no column `{name[:60]}`.{did_you_mean(name, types)}"
        self._wrong(pointer, message)

    def _rule(self, pointer: str, rules: ColumnRules, type_: Type) -> None:
        required = rules.type
        is_that_number = required == "number" and type_.is_number
        if required not in (None, type_.name) and type_ != TEXT and not is_that_number:
            self._wrong(f"{pointer}/type", f"The column is {a(type_)}, never {required}.")
        judged = Type(required) if required is not None and type_ == TEXT else type_
        for name in ("min", "max"):
            if (bound := getattr(rules, name)) is not None:
                self._bound(f"{pointer}/{name}", bound, judged)
        for name in ("min_length", "max_length", "pattern"):
            if getattr(rules, name) is not None and type_ != TEXT:
                message = f"This is a rule for texts, but the column is {a(type_)}."
                self._wrong(f"{pointer}/{name}", message)
        if rules.pattern is not None:
            self._patterns.append((f"{pointer}/pattern", rules.pattern, None))
        for i, value in enumerate(rules.enum or ()):
            if not _is_of_type(value, type_):
                how = f"; write it as {ISO_BOUNDS[type_.name]}" if type_.is_moment else ""
                message = f"The column is {a(type_)}, and this value is not{how}."
                self._wrong(f"{pointer}/enum/{i}", message)

    def _bound(self, pointer: str, bound: Decimal | str, judged: Type) -> None:
        if judged.is_moment:
            pattern = ISO_BOUNDS[judged.name]
            if not _is_written(str(bound), pattern):
                self._wrong(pointer, f"The column is {a(judged)}; write the bound as {pattern}.")
        elif not judged.is_number:
            self._wrong(
                pointer,
                f"The column is {a(judged)}; cast it to a number or a date first, or give `type`.",
            )
        else:
            try:
                places = Decimal(bound).as_tuple().exponent  # a letter if the bound is not finite
            except InvalidOperation:
                places = "n"
            if not isinstance(places, int) or abs(places) > MAX_DIGITS:
                self._wrong(pointer, "The bound of a number must be a number.")

    def _uniques(self, types: dict[str, Type]) -> list[list[str]]:
        validation = self._spec.validation
        uniques = [[name] for name, rules in validation.columns.items() if rules.unique]
        for i, names in enumerate(validation.unique):
            for name in names:
                if name not in types:
                    self._no_output(f"validation/unique/{i}", name, types)
            uniques.append(list(names))
        return uniques

    def _checks(self, types: dict[str, Type]) -> list[PlannedCheck]:
        checks = []
        for i, check in enumerate(self._spec.validation.checks):
            pointer = f"validation/checks/{i}/expression"
            node, _ = self._expression(pointer, check.expression, types, is_condition=True)
            if node is not None:
                read = columns_of(node)
                column = next((name for name in types if name in read), "")
                message = check.message or f"Not true: {check.expression[:200]}"
                checks.append(PlannedCheck(node, message, column))
        return checks


def _is_of_type(value: object, type_: Type) -> bool:
    """Return whether a column of this type can have the value, as the document writes it."""
    if type_ == BOOLEAN:
        return isinstance(value, bool)
    if type_.is_number:
        return isinstance(value, Decimal)
    if type_.is_moment:
        return _is_written(str(value), ISO_BOUNDS[type_.name])
    return isinstance(value, str)


def _is_written(text: str, pattern: str) -> bool:
    """Return whether a text exactly matches one of ISO_BOUNDS; strptime alone would also accept
    `2026-1-5`.
    """
    try:
        iso = datetime.strptime(text, pattern).isoformat() + "Z"
    except ValueError:
        return False
    return text == iso[: len(pattern.replace("%Y", "2026"))]


TAKES_TEXT = (Trim, Case, Replace, Split, ValueTable, Default, ParseDate, DateFormat)


def after(step: Step, before: Type, *, is_joined: bool) -> Type:
    """Return the type after a step; raises ValueError if the step takes no values of the type
    before it.
    """
    name = step.operation
    if isinstance(step, Join):
        if not is_joined:
            raise ValueError("`join` is the first step of a column that is made from others.")
        return TEXT
    if isinstance(step, TAKES_TEXT) and before not in (TEXT, NULL):
        raise ValueError(f"`{name}` takes text, but the value is {a(before)} at this step.")
    if isinstance(step, Cast):
        if step.to == "text":
            return TEXT
        if step.to == "decimal" and before.is_number:
            return Type("decimal", step.scale or 0)
        if before not in (TEXT, NULL):
            raise ValueError(
                f"`cast` to {step.to} takes text, but the value is {a(before)} at this step."
            )
        return Type(step.to, step.scale or 0)
    if isinstance(step, Round):
        if not before.is_number:
            raise ValueError(
                f"`round` takes a number, but the value is {a(before)} at this step; cast it first."
            )
        return Type("decimal", step.scale)
    if isinstance(step, ParseDate):
        formats = [step.format] if isinstance(step.format, str) else step.format
        kinds = [type_of_format(format_, reading=True) for format_ in formats]
        if len(set(kinds)) > 1:
            names = ", ".join(map(str, kinds))
            raise ValueError(f"The formats are not of one type: {names}.")
        return kinds[0]
    if isinstance(step, FormatDate):
        if not before.is_moment:
            raise ValueError(
                f"`format_date` takes a date, but the value is {a(before)} at this step; parse it first."
            )
        type_of_format(step.format, reading=False)
        return TEXT
    if isinstance(step, DateFormat):
        type_of_format(step.from_, reading=True)
        type_of_format(step.to, reading=False)
    return TEXT
