"""Matching of file columns with table columns, and what is refused before a row is read."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from app.errors import TableMismatch, TableUnusable
from app.features.tables.ddl import Facts
from app.features.tables.definition import Column, Constraint, Dialect, TableDefinition, TableName
from app.features.tables.plan import Mode, Wanted, plan_creation, plan_load, restored

ID = Column("id", "bigint", False, base_type="bigint")
EMAIL = Column("email_address", "text", True, base_type="text")
AMOUNT = Column("amount", "numeric(12,2)", False, default="0", base_type="numeric(12,2)")
KEY = Constraint("orders_pkey", "primary_key", ("id",))
ORDERS = TableDefinition(TableName("public", "orders"), "table", (ID, EMAIL, AMOUNT), (KEY,))
HEADER = ("id", "E-Mail Address", "amount")


def table(*columns: Column, constraints: tuple[Constraint, ...] = ()) -> TableDefinition:
    return TableDefinition(TableName("public", "t"), "table", columns, constraints)


def problems(
    header: tuple[str, ...], definition: TableDefinition, wanted: Wanted
) -> list[tuple[str, str]]:
    with pytest.raises(TableMismatch) as raised:
        plan_load(header, definition, wanted)
    return [(error["pointer"], error["detail"]) for error in raised.value.errors]


def test_columns_are_matched_by_name_and_by_normalised_name() -> None:
    plan = plan_load(("amount", "E-Mail Address", "id"), ORDERS, Wanted())
    assert [(column.name, column.source, column.matched_by) for column in plan.columns] == [
        ("id", "id", "name"),
        ("email_address", "E-Mail Address", "normal_form"),
        ("amount", "amount", "name"),
    ]


def test_an_exact_name_takes_precedence_over_a_normalised_one() -> None:
    plan = plan_load(("ID", "id"), ORDERS, Wanted(on_schema_change="ignore"))
    assert [column.source for column in plan.columns] == ["id"]
    assert plan.ignored == ("ID",)


def test_an_ambiguous_column_is_not_guessed() -> None:
    found = problems(("id", "Email-Address", "EMAIL ADDRESS"), ORDERS, Wanted())
    assert found[0] == (
        "options/columns",
        "The columns 'Email-Address', 'EMAIL ADDRESS' of the file could be 'email_address'.",
    )


def test_only_the_listed_columns_are_loaded() -> None:
    wanted = Wanted(columns=(("id", "number"), ("amount", "amount")))
    plan = plan_load(("number", "amount", "id"), ORDERS, wanted)
    assert [(column.name, column.source) for column in plan.columns] == [
        ("id", "number"),
        ("amount", "amount"),
    ]
    assert (plan.ignored, plan.defaulted) == (("id",), ("email_address",))


def test_all_faults_of_the_request_are_listed() -> None:
    wanted = Wanted(columns=(("id", "id"), ("id", "amount"), ("no", "id"), ("amount", "nowhere")))
    assert [text for _, text in problems(HEADER, ORDERS, wanted)] == [
        "The column 'id' is named twice.",
        "The table has no column 'no'.",
        "The file has no column 'nowhere'.",
    ]


def test_columns_missing_from_the_file_get_their_defaults() -> None:
    plan = plan_load(("id",), ORDERS, Wanted())
    assert plan.defaulted == ("email_address", "amount")
    required = replace(ORDERS, columns=(ID, replace(AMOUNT, default=None)))
    [(pointer, text)] = problems(("id",), required, Wanted())
    assert (pointer, "'amount' must have a value" in text) == ("options/columns", True)
    assert plan_load(("id", "amount"), required, Wanted(mode="update")).key == ("id",)


def test_generated_and_identity_columns_are_not_written() -> None:
    definition = table(
        replace(ID, generated="identity_always"),
        replace(AMOUNT, name="gross", default=None, generated="computed"),
        EMAIL,
    )
    plan = plan_load(("id", "gross", "email_address"), definition, Wanted())
    assert [column.name for column in plan.columns] == ["email_address"]
    assert (plan.left_alone, plan.ignored) == (("id", "gross"), ("id", "gross"))
    assert not plan.overrides_identity


def test_an_identity_column_is_written_if_it_is_the_key_or_listed() -> None:
    definition = table(replace(ID, generated="identity_always"), EMAIL, constraints=(KEY,))
    upsert = plan_load(("id", "email_address"), definition, Wanted(mode="upsert"))
    assert (upsert.names, upsert.overrides_identity) == (["id", "email_address"], True)
    told = plan_load(("number",), definition, Wanted(columns=(("id", "number"),)))
    assert told.overrides_identity
    by_default = table(replace(ID, generated="identity_by_default"), EMAIL)
    assert plan_load(("id",), by_default, Wanted()).names == ["id"]
    assert plan_load(("email_address",), by_default, Wanted()).left_alone == ("id",)


def test_unknown_columns_are_refused_ignored_added_or_rescued() -> None:
    header = (*HEADER, "note", "day")
    [(pointer, text)] = problems(header, ORDERS, Wanted())
    assert pointer == "options/on_schema_change"
    assert text == "The table has no column for 'note', 'day'."
    assert plan_load(header, ORDERS, Wanted(on_schema_change="ignore")).ignored == ("note", "day")
    facts = [Facts("day", "date", "date", "%d.%m.%Y"), Facts("note", "text")]
    added = plan_load(header, ORDERS, Wanted(on_schema_change="add_columns"), facts)
    assert added.statements == (
        'ALTER TABLE "public"."orders" ADD COLUMN "note" text',
        'ALTER TABLE "public"."orders" ADD COLUMN "day" date',
    )
    assert [(column.name, column.type, column.cast.format) for column in added.columns[3:]] == [
        ("note", "text", ""),
        ("day", "date", "%d.%m.%Y"),
    ]
    rest = Column("_rescued", "jsonb", True, base_type="jsonb")
    with_rest = replace(ORDERS, columns=(*ORDERS.columns, rest))
    rescued = plan_load(header, with_rest, Wanted(on_schema_change="rescue"))
    assert (rescued.rescue_column, rescued.rescued) == ("_rescued", ("note", "day"))
    assert [column.name for column in rescued.columns] == ["id", "email_address", "amount"]
    assert rescued.defaulted == ()


def test_a_rescue_column_must_be_suitable() -> None:
    header = (*HEADER, "note")
    wanted = Wanted(on_schema_change="rescue", rescue_column="rest")
    [(pointer, text)] = problems(header, ORDERS, wanted)
    assert (pointer, text) == (
        "options/rescue_column",
        "The table has no column 'rest' to take 'note'.",
    )
    of_text = replace(ORDERS, columns=(*ORDERS.columns, replace(EMAIL, name="rest")))
    [(_, text)] = problems(header, of_text, wanted)
    assert "of the type text" in text


def test_only_the_owner_of_a_table_adds_columns() -> None:
    theirs = replace(ORDERS, rights=frozenset({"select", "insert"}))
    found = problems((*HEADER, "note"), theirs, Wanted(on_schema_change="add_columns"))
    assert found == [
        ("options/on_schema_change", "Only the owner of the table can add columns to it.")
    ]


@pytest.mark.parametrize("mode", ["upsert", "update", "insert_new", "mirror"])
def test_a_mode_that_compares_uses_the_primary_key_or_a_unique_one(mode: Mode) -> None:
    assert plan_load(HEADER, ORDERS, Wanted(mode=mode)).key == ("id",)
    by_email = Constraint("by_email", "unique", ("email_address",))
    with_email = replace(ORDERS, constraints=(KEY, by_email))
    wanted = Wanted(mode=mode, key=("email_address",))
    assert plan_load(HEADER, with_email, wanted).key == ("email_address",)
    text = "No primary key or unique constraint covers exactly 'email_address'."
    assert ("options/key", text) in problems(HEADER, ORDERS, wanted)
    partial = replace(by_email, predicate="amount > 0")
    assert problems(HEADER, replace(ORDERS, constraints=(KEY, partial)), wanted)
    keyless = problems(HEADER, replace(ORDERS, constraints=()), Wanted(mode=mode))
    assert keyless == [("options/key", f"The mode {mode} needs a key; the table has none.")]
    missing = problems(("amount",), replace(ORDERS, constraints=(KEY,)), Wanted(mode=mode))
    assert ("options/key", "The key 'id' is not loaded.") in missing


def test_a_key_is_refused_in_a_mode_that_does_not_compare() -> None:
    found = problems(HEADER, ORDERS, Wanted(key=("id",)))
    assert found == [("options/key", "The mode append does not use a key.")]


def test_views_rules_and_missing_rights_are_refused() -> None:
    for refused, mode, word in (
        (replace(ORDERS, kind="view"), "append", "view"),
        (replace(ORDERS, rules=("elsewhere",)), "append", "rule"),
        (replace(ORDERS, rights=frozenset({"insert", "select"})), "replace", "DELETE"),
        (replace(ORDERS, rights=frozenset({"insert", "update"})), "upsert", "SELECT"),
    ):
        with pytest.raises(TableUnusable, match=word):
            plan_load(HEADER, refused, Wanted(mode=mode))  # type: ignore[arg-type]
    theirs = replace(
        ORDERS,
        rights=frozenset({"select"}),
        columns=(ID, replace(EMAIL, can_insert=False), replace(AMOUNT, can_insert=True)),
    )
    assert plan_load(("id", "amount"), theirs, Wanted()).names == ["id", "amount"]
    assert problems(HEADER, theirs, Wanted()) == [
        ("options/table", "The database role may not insert into the column 'email_address'.")
    ]


def test_a_plan_round_trips_as_json() -> None:
    mood = Column("mood", "mood[]", True, base_type="mood[]", kind="array", element_type="mood",
                  element_kind="enum", labels=("sad", "ok"))  # fmt: skip
    definition = replace(ORDERS, columns=(*ORDERS.columns, mood))
    plan = plan_load((*HEADER, "mood"), definition, Wanted(mode="upsert"))
    assert restored(msgspec.json.decode(msgspec.json.encode(plan.as_json()))) == plan


FACTS = [
    Facts("id", "number", "integer", least="1", greatest="9223372036854775807"),
    Facts("large", "number", "integer", least="1", greatest="9223372036854775808"),
    Facts("price", "number", "decimal", least="0.10", greatest="12.50"),
    Facts("paid", "boolean"),
    Facts("day", "date", "date", "%d/%m/%Y"),
    Facts("at", "date", "datetime", "%Y-%m-%d %H:%M:%S%z"),
    Facts("local", "date", "datetime", "%Y-%m-%d %H:%M:%S"),
    Facts("code", "text"),
]


@pytest.mark.parametrize(
    ("dialect", "types"),
    [
        (
            "postgresql",
            ["bigint", "numeric", "numeric", "boolean", "date", "timestamp with time zone",
             "timestamp without time zone", "text"],
        ),
        ("sqlite", ["INTEGER", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT"]),
    ],
)  # fmt: skip
def test_a_new_table_has_only_types_that_read_every_value_unambiguously(
    dialect: Dialect, types: list[str]
) -> None:
    header = [each.name for each in FACTS]
    plan = plan_creation(header, TableName("s", "t"), dialect, Wanted("create"), FACTS)
    assert [column.type for column in plan.columns] == types


def test_a_new_table_is_shown_as_a_statement() -> None:
    name = TableName("my schema", 'odd "table"')
    wanted = Wanted("create", key=("id",))
    facts = [FACTS[0], Facts("a,b", "text")]
    types = {"a,b": "varchar(10)[]"}
    plan = plan_creation(("id", "a,b"), name, "postgresql", wanted, facts, types)
    assert plan.statements == (
        'CREATE TABLE "my schema"."odd ""table""" (\n'
        '    "id" bigint NOT NULL,\n'
        '    "a,b" character varying(10)[],\n'
        '    PRIMARY KEY ("id")\n'
        ")",
    )
    assert plan.definition.primary_key == ("id",)


@pytest.mark.parametrize(
    ("header", "types", "told"),
    [
        (("a", "b"), {"b": "text); DROP TABLE users; --"}, "not a type"),
        (("a", "b"), {"c": "text"}, "no column 'c'"),
        (("a" * 64,), {}, "more than 63 bytes"),
        (("ä" * 32,), {}, "more than 63 bytes"),
        (("",), {}, "cannot have the name"),
        (("ctid",), {}, "name of a system column"),
        (tuple(map(str, range(1601))), {}, "at most 1600 columns"),
    ],
)
def test_an_impossible_new_table_is_refused(
    header: tuple[str, ...], types: dict[str, str], told: str
) -> None:
    name = TableName("public", "t")
    with pytest.raises(TableMismatch, match=told):
        plan_creation(header, name, "postgresql", Wanted("create"), [], types)
