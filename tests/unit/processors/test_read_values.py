"""The forms of values in docs/values.md, and no others, are accepted from texts and from JSON, in
ordinary Pydantic models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.errors import MissingColumn
from app.features.imports.checking import check_cells, check_objects
from app.features.scoring.answers import Prediction
from app.features.scoring.ml_api import MLApi
from app.features.scoring.processor import ScoringProcessor
from app.features.scoring.scored import check, load_model, outcome, pack
from app.features.scoring.transactions import Transaction
from app.formats.base import CellRows, ObjectRows, Reject
from app.processors.options import NoOptions
from app.schemas import strict
from tests.harness import ROOT
from tests.unit.processors import value_models as models

HERE = "tests.unit.processors.value_models"
EAST = timezone(timedelta(hours=2))
TEXTS: dict[str, dict[str, object]] = {
    "moment": {
        "2026-01-05T10:20:30Z": datetime(2026, 1, 5, 10, 20, 30, tzinfo=UTC),
        "2026-01-05 10:20:30+02:00": datetime(2026, 1, 5, 10, 20, 30, tzinfo=EAST),
        "2026-01-05T10:20:30+0200": datetime(2026, 1, 5, 10, 20, 30, tzinfo=EAST),
        "2026-01-05 10:20:30.5+02": datetime(2026, 1, 5, 10, 20, 30, 500_000, tzinfo=EAST),
        "2026-01-05T10:20": datetime(2026, 1, 5, 10, 20),
        "2026-01-05": datetime(2026, 1, 5),
        "2026-01-05T10:20:30,123456": datetime(2026, 1, 5, 10, 20, 30, 123_456),
        "2026-01-05T10:20:30.123456000Z": datetime(2026, 1, 5, 10, 20, 30, 123_456, tzinfo=UTC),
    },
    "day": {"2026-01-05": date(2026, 1, 5), "2024-02-29": date(2024, 2, 29)},
    "clock": {"10:20": time(10, 20), "10:20:30.25": time(10, 20, 30, 250_000), "10:20:30Z": time(10, 20, 30, tzinfo=UTC)},
    "duration": {
        "PT1H30M": timedelta(minutes=90), "P1DT2H": timedelta(days=1, hours=2), "01:30:00": timedelta(minutes=90),
        "2 days, 1:00:00.5": timedelta(days=2, seconds=3600.5), "PT0.500000000S": timedelta(seconds=0.5),
    },
    "whole": {"0": 0, "30": 30, "-7": -7, "12345678901234567890123": 12345678901234567890123},
    "decimal": {"12.50": Decimal("12.50"), "-0.5": Decimal("-0.5"), "12345678901234567.89": Decimal("12345678901234567.89")},
    "double": {"1.5": 1.5, "-3": -3.0, "1e-05": 1e-05, "0.30000000000000004": 0.1 + 0.2, "1.10": 1.1},
    "truth": {"true": True, "FALSE": False, "True": True},
    "level": {"1": models.Level.LOW},
}  # fmt: skip
NO_TEXTS: dict[str, list[str]] = {
    "moment": [
        "46023", "31122025", "2026", "20260105", "1767225600", "1767225600.5", "-1", "1_0", "2026-1-5", "2026-01-05_10:20",
        "2026-01-05T24:00:00", "2026-01-05T10:20:60Z", "2026-02-30", "2026-01-05T10:20:30.123456789Z", " 2026-01-05",
        "2026-01-05\n", "2026-01-05T10:20:30.0000001", "2026-01-05T10:20:30 +02:00", "\u0662\u0660\u0662\u0666-01-05",
        "2026-01-05t10:20z", "20260105T102030Z", "2026-W01-1", "0001-01-01T00:00+14:00", "9999-12-31T23:59-01:00", "now",
        "0000-01-01", "2026-01-05T10", "2026-01-05T10:20+25:00", "05.01.2026", "1e9", "inf", "nan",
    ],
    "day": ["46023", "2026-01-05T00:00:00", "2026-1-5", "20260105", "0", "2026-13-01", "\uff12026-01-05"],
    "clock": ["36000", "10", "24:00", "10:20:60", "1:20", "10:20:30.1234567", "10.5"],
    "duration": ["30", "1.5", "1e3", "PT0.1234567S", "00:00:00.0000001", "90 minutes", ""],
    "whole": ["1_000", "+5", " 5", "5 ", "5.0", "007", "-0", "1e3", "\u0665", "\uff15", "true", "0x10", "inf", "1,000"],
    "decimal": ["1_000.5", "+5", " 5", "5.", ".5", "1e3", "\u0665", "NaN", "Infinity", "-inf", "1,5", "007.5", "--1"],
    "double": [
        "1_0.5", "+5", " 5", "5.", ".5", "nan", "inf", "-Infinity", "1e400", "\u0665", "0.1000000000000000055",
        "9007199254740993",
    ],
    "truth": ["1", "0", "yes", "no", "on", "off", "t", "f", "y", "n", " true", "tRUE", "1.0"],
    "level": ["1.0", " 1", "+1", "\u0661", "3", "LOW"],
}  # fmt: skip
JSON: dict[str, dict[str, object]] = {
    "whole": {"30": 30, "12345678901234567890123": 12345678901234567890123},
    "decimal": {
        "12.50": Decimal("12.50"), "12345678901234567.89": Decimal("12345678901234567.89"), "7": Decimal(7),
        "1e2": Decimal(100), '"12.50"': Decimal("12.50"),
    },
    "double": {"1.5": 1.5, "3": 3.0, "1E-5": 1e-05},
    "truth": {"true": True, "false": False},
    "moment": {'"2026-01-05T10:20:30Z"': datetime(2026, 1, 5, 10, 20, 30, tzinfo=UTC)},
    "level": {"2": models.Level.HIGH},
    "inner": {'{"at": "2026-01-05"}': models.Inner(at=datetime(2026, 1, 5))},
    "many": {'["2026-01-05"]': [datetime(2026, 1, 5)]},
    "either": {"46023": 46023, '"2026-01-05"': datetime(2026, 1, 5)},
}  # fmt: skip
NO_JSON: dict[str, list[str]] = {
    "moment": ["46023", "1767225600.5", "0", "true", '"46023"', '"2026"', "[]"],
    "day": ["46023", "0", "0.0", "true", '"2026"'],
    "clock": ["36000", "1.5", "true"],
    "duration": ["30", "1.5", "true"],
    "whole": ["1.0", "1e2", "true", '"1_000"', '"+5"'],
    "decimal": ["true", '"1_000"', '" 5"', '"NaN"'],
    "double": ["true", '"inf"', '"1_0"', "9007199254740993"],
    "truth": ["1", "0", "1.0", '"yes"', '"1"'],
    "level": ["3", '"LOW"', "true"],
    "inner": ['{"at": "46023"}', '{"at": 46023}', '{"at": "2026-1-5"}'],
    "many": ['["2026-01-05", "2026"]', "[5]", '"2026-01-05"'],
    "either": ['"nan"', "1.5", "true"],
}


def pairs(table: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(name, text, id=f"{name}-{text!a}")
        for name, texts in table.items()
        for text in texts
    ]


def validated(model: str, name: str, text: str) -> list[Any]:
    """Score a row of a CSV file with this cell."""
    validator = strict.strict_validator(getattr(models, model), of_cells=True)
    return [getattr(validator.validate_python({name: text}), name)]


def of_cell(model: str, name: str, text: str) -> list[Reject]:
    return check(f"{HERE}:{model}", CellRows(["transaction_id", name], [1], [["t", text]])).rejects


def of_object(model: str, name: str, value: str) -> list[Reject]:
    raw = f'{{"transaction_id": "t", "{name}": {value}}}'.encode()
    return check(f"{HERE}:{model}", ObjectRows([], [1], [raw])).rejects


def wrong_cell(_: str, name: str, text: str) -> Any:
    return check_cells(f"{HERE}:Record", [name], [[text]])[0][2]


def wrong_object(_: str, name: str, value: str) -> Any:
    return check_objects(f"{HERE}:Record", [f'{{"{name}": {value}}}'.encode()])[0][2]


@pytest.mark.parametrize("model", ["Everything", "StrictEverything"])
@pytest.mark.parametrize(("name", "text"), pairs(TEXTS))
def test_a_documented_text_is_parsed_as_its_value(model: str, name: str, text: str) -> None:
    assert not of_cell(model, name, text)
    assert not wrong_cell(model, name, text)
    (value,) = validated(model, name, text)
    assert (value, type(value)) == (TEXTS[name][text], type(TEXTS[name][text]))
    if isinstance(value, datetime | time):
        assert value.utcoffset() == TEXTS[name][text].utcoffset()  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [of_cell, wrong_cell], ids=["scoring", "imports"])
@pytest.mark.parametrize(("name", "text"), [pair for pair in pairs(NO_TEXTS) if pair.values[1]])
def test_any_other_text_is_refused(wrong: Callable[..., Any], name: str, text: str) -> None:
    assert wrong("Everything", name, text)
    assert wrong("StrictEverything", name, text)


@pytest.mark.parametrize(("name", "value"), pairs(JSON))
def test_a_documented_json_value_is_parsed_exactly(name: str, value: str) -> None:
    assert not of_object("Everything", name, value)
    assert not wrong_object("Record", name, value)
    decoded = msgspec.json.Decoder(float_hook=strict.Number).decode(value)
    got = getattr(
        strict.strict_validator(models.Everything, of_cells=False).validate_python({name: decoded}),
        name,
    )
    assert (got, type(got)) == (JSON[name][value], type(JSON[name][value]))


@pytest.mark.parametrize("wrong", [of_object, wrong_object], ids=["scoring", "imports"])
@pytest.mark.parametrize(("name", "value"), pairs(NO_JSON))
def test_any_other_json_value_is_refused(wrong: Callable[..., Any], name: str, value: str) -> None:
    assert wrong("Everything", name, value)


@pytest.mark.parametrize("wrong", [of_object, wrong_object], ids=["scoring", "imports"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("whole", '"30"'), ("double", '"1.5"'), ("truth", '"true"'), ("level", '"1"')],
)
def test_a_strict_model_takes_no_number_in_quotes(
    wrong: Callable[..., Any], name: str, value: str
) -> None:
    assert wrong("StrictEverything", name, value)


def test_errors_quote_the_input_and_name_no_python_types() -> None:
    rejects = {
        "moment": of_cell("Everything", "moment", "46023"),
        "decimal": of_object("Everything", "decimal", '{"a": 12345678901234567.89}'),
        "whole": of_object("Everything", "whole", "12345678901234567.89"),
        "truth": of_object("Everything", "truth", "1.0"),
        "inner": of_object("Everything", "inner", '{"at": 46023}'),
    }
    assert not of_object("Everything", "either", '"2026"'), (
        "a whole number, as the field says that it may be"
    )
    found = {name: (each.code, each.column, each.value) for name, (each,) in rejects.items()}
    assert found == {
        "moment": ("invalid_value", "moment", "46023"),
        "decimal": ("invalid_value", "decimal", '{"a": 12345678901234567.89}'),
        "whole": ("invalid_value", "whole", "12345678901234567.89"),
        "truth": ("invalid_value", "truth", "1.0"),
        "inner": ("invalid_value", "inner.at", '{"at": 46023}'),
    }
    (choice,) = of_object("Everything", "either", "[]")
    assert not re.search(r"function|[\[(]", f"{choice.column}{choice.message}"), choice


def test_errors_of_imports_show_json_values_as_they_were_written() -> None:
    raw = b'{"whole": 12345678901234567.89, "moment": [1.10, {"a": 1e3}], "day": "x"}'
    errors = check_objects(f"{HERE}:Record", [raw])[0][2] or []
    assert {e["field"]: e["value"] for e in errors} == {
        "whole": "12345678901234567.89",
        "moment": '[1.10, {"a": 1e3}]',
        "day": "x",
    }


# ---------------------------------------------------------------------- transactions


COLUMNS = list(Transaction.model_fields)
GOOD = {
    "transaction_id": "t", "timestamp": "2026-01-05T10:20:30+02:00", "account_id": "a", "merchant": "m", "category": "fuel",
    "channel": "pos", "country": "DE", "home_country": "DE", "amount": "12.50", "currency": "EUR", "transactions_24h": "3",
    "account_age_days": "40",
}  # fmt: skip
SHIPPED = "app.features.scoring.transactions:Transaction"


def shipped(**changed: str) -> Any:
    return check(SHIPPED, CellRows(COLUMNS, [1], [[(GOOD | changed)[name] for name in COLUMNS]]))


def test_a_timestamp_without_a_zone_is_utc_and_others_keep_their_time() -> None:
    for text, moment in (
        ("2026-01-05T10:20:30", "2026-01-05T10:20:30Z"),
        ("2026-01-05", "2026-01-05T00:00:00Z"),
        ("2026-01-05T10:20:30+02:00", "2026-01-05T10:20:30+02:00"),
    ):
        checked = shipped(timestamp=text)
        assert not checked.rejects
        assert json.loads(checked.bodies[0])["timestamp"] == moment


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("timestamp", text) for text in NO_TEXTS["moment"]],
        *[("amount", text) for text in NO_TEXTS["decimal"]],
        *[("transactions_24h", text) for text in NO_TEXTS["whole"]],
        ("amount", "12.505"), ("amount", "0"), ("category", "Fuel"), ("channel", "POS"), ("country", "de"),
        ("country", "D\u00cb"),
    ],
)  # fmt: skip
def test_an_undocumented_value_of_a_transaction_rejects_its_row(name: str, text: str) -> None:
    (reject,) = shipped(**{name: text}).rejects
    assert (reject.code, reject.column, reject.value) == ("invalid_value", name, text)


def test_json_transactions_keep_all_their_digits() -> None:
    raw = b'{"transaction_id": "t", "data": {"a": 1}, "id": "mine", "x": 1e2}'
    (body,) = check(f"{HERE}:Anything", ObjectRows([], [7], [raw])).bodies
    assert (json.loads(body)["id"], body.count(b'"id"')) == ("7", 1)
    members = {
        **{k: v for k, v in GOOD.items() if k != "amount"},
        "transactions_24h": 3,
        "account_age_days": 40,
    }
    text = json.dumps(members)[:-1] + ', "amount": 999999999999.99}'
    checked = check(SHIPPED, ObjectRows([], [1], [text.encode()]))
    assert json.loads(checked.bodies[0])["amount"] == "999999999999.99"


# ---------------------------------------------------------------------- names


def test_a_model_with_aliases_reads_the_columns_that_they_name() -> None:
    for header in (["TxnID", "Account", "Betrag", "When"], ["at", "Amount", "Account", "TxnID"]):
        by_name = {
            "TxnID": "t",
            "Account": "a",
            "Betrag": "1.5",
            "Amount": "1.5",
            "When": "2026-01-05",
            "at": "2026-01-05",
        }
        good = check(f"{HERE}:Aliased", CellRows(header, [1], [[by_name[name] for name in header]]))
        assert not good.rejects
        assert json.loads(good.bodies[0]) == {
            "id": "1",
            "transaction_id": "t",
            "Account": "a",
            "amount": "1.5",
            "timestamp": "2026-01-05T00:00:00",
            "note": "",
        }
        bad = by_name | {"Betrag": "x", "Amount": "x", "TxnID": "", "When": "5", "at": "5"}
        rows: list[list[str | None]] = [
            [(by_name | {name: bad[name]})[key] for key in header]
            for name in header
            if name != "Account"
        ]
        found = check(f"{HERE}:Aliased", CellRows(header, [1, 2, 3], rows)).rejects
        assert [each.column for each in found] == [name for name in header if name != "Account"]


def test_a_model_may_accept_names_as_well_as_aliases_and_generate_aliases() -> None:
    for name in ("TxnID", "transaction_id"):
        raw = f'{{"{name}": "t", "address": {{"city": "Ulm"}}}}'.encode()
        assert (
            json.loads(check(f"{HERE}:ByName", ObjectRows([], [1], [raw])).bodies[0])["city"]
            == "Ulm"
        )
        assert not check(f"{HERE}:ByName", CellRows([name], [1], [["t"]])).rejects
    rows = CellRows(["TRANSACTION_ID", "AMOUNT", "id"], [3], [["t", "2.50", "own"]])
    body = check(f"{HERE}:Generated", rows).bodies[0]
    assert json.loads(body) == {"TRANSACTION_ID": "t", "AMOUNT": "2.50", "id": "3"}
    assert body.count(b'"id"') == 1


def test_extra_cells_of_a_kept_row_stay_after_its_prediction() -> None:
    rows = CellRows(["transaction_id", "whole"], [1, 2], [["t", "5", "more"], ["u", "6"]])
    checked = check(f"{HERE}:Everything", rows)
    answers = [Prediction("legitimate", 0.25, "m-1", 3), Prediction("fraud", 0.75, "m-1", 3)]
    made = outcome(rows, checked.without_bodies(), pack(answers), lambda name, given: given)  # type: ignore[arg-type,return-value]
    (page,) = made.results.pages()
    assert json.loads(page.data) == [
        ["t", "5", "legitimate", "0.25", "m-1", "more"],
        ["u", "6", "fraud", "0.75", "m-1"],
    ]


def test_a_naive_timestamp_of_a_custom_model_gets_its_column_too() -> None:
    from app.features.scoring.scored import _typed

    model = load_model(f"{HERE}:Aliased")
    made = model.model_validate({"TxnID": "t", "Account": "a", "Amount": "1", "at": "2026-01-05"})
    assert _typed(made)[0] == datetime(2026, 1, 5, tzinfo=UTC)


def test_the_page_on_values_shows_the_accepted_forms() -> None:
    """Each example in the table of docs/values.md, in the columns that it names."""
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs/values.md").read_text(), re.MULTILINE
    )
    fields = {
        "int": "whole", "Decimal": "decimal", "float": "double", "bool": "truth", "datetime": "moment", "date": "day",
        "time": "clock", "timedelta": "duration",
    }  # fmt: skip
    assert {kind for kind, _, _ in rows} == set(fields)
    for kind, taken, refused in rows:
        for text in re.findall(r"`([^`]+)`", taken):
            assert not of_cell("Everything", fields[kind], text), text
        for text in re.findall(r"`([^`]+)`", refused):
            assert of_cell("Everything", fields[kind], text), text


def test_a_csv_file_is_accepted_if_every_required_field_has_a_column() -> None:
    def columns(model: str, *header: str) -> list[str]:
        ml_api = MLApi("http://127.0.0.1:9", batch_size=1, max_workers=1, timeout_seconds=1)
        return list(ScoringProcessor(ml_api, f"{HERE}:{model}").columns(header, NoOptions()))

    added = ["prediction", "fraud_score", "model_version"]
    for header in (
        ["TxnID", "Account", "Betrag", "When"],
        ["at", "Amount", "Account", "TxnID", "more"],
    ):
        assert columns("Aliased", *header) == [*header, *added]
    assert columns("ByName", "transaction_id") == ["transaction_id", *added]
    for model, header, sentence in (
        ("Aliased", ["TxnID", "account_id", "Betrag", "at"], "The file has no column `Account`."),
        (
            "Aliased",
            ["TxnID", "Account", "amount", "at"],
            "The file has no column `Betrag` or `Amount`. Did you mean `amount`?",
        ),
        (
            "Inside",
            ["transaction_id"],
            "The field `transaction_id` is nested in an object, which only JSON has",
        ),
    ):
        with pytest.raises(MissingColumn, match=re.escape(sentence)):
            columns(model, *header)
