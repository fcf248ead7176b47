"""People and reviews of the sample generator: their verdicts are right."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.generate_csv import BadArgument, generate

ROWS = 3_000
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-zA-Z]+")
RIGHT: dict[str, Callable[[str], object]] = {
    "name": lambda cell: bool(cell.strip()),
    "email": EMAIL.fullmatch,
    "age": lambda cell: cell.isdecimal() and 0 <= int(cell) <= 150,
    "department": bool,
}


def test_each_generated_person_matches_its_verdict(tmp_path: Path) -> None:
    done = generate(tmp_path / "people.csv", ROWS, kind="people", dirty=0.4, seed=1)
    assert done.verdicts is not None
    with done.path.open(newline="") as file:
        people = list(csv.DictReader(file))
    truths = [json.loads(line) for line in done.verdicts.read_text("ascii").splitlines()]
    assert [truth["row"] for truth in truths] == list(range(1, ROWS + 1))
    seen: dict[str, int] = {}
    for person, truth in zip(people, truths, strict=True):
        assert person == truth["data"]
        assert [name for name, is_right in RIGHT.items() if not is_right(person[name])] == truth[
            "fields"
        ], person
        assert (truth["verdict"] == "invalid") == bool(truth["fields"])
        if truth["verdict"] == "duplicate":
            assert seen[person["email"].lower()] == truth["duplicate_of"] < truth["row"]
            assert people[truth["duplicate_of"] - 1]["name"] == person["name"]
        elif truth["verdict"] == "valid":
            assert person["email"].lower() not in seen
            seen[person["email"].lower()] = truth["row"]
    kinds = Counter(truth["kind"] for truth in truths)
    assert 0.55 < kinds.pop("clean") / ROWS < 0.65
    assert set(kinds) == {"bad_email", "bad_age", "missing_name", "two_faults", "duplicate"}
    assert min(kinds.values()) > ROWS * 0.04


def test_clean_people_are_valid_and_have_no_verdicts(tmp_path: Path) -> None:
    done = generate(tmp_path / "people.csv", ROWS, kind="people", seed=1)
    with done.path.open(newline="") as file:
        people = list(csv.DictReader(file))
    assert (len(people), len({person["email"] for person in people}), done.verdicts) == (
        ROWS,
        ROWS,
        None,
    )
    assert all(is_right(person[name]) for person in people for name, is_right in RIGHT.items())


@pytest.mark.parametrize("repeat", [0.0, 0.5, 1.0])
def test_reviews_repeat_at_the_requested_rate_and_are_counted(
    tmp_path: Path, repeat: float
) -> None:
    path = generate(tmp_path / "reviews.csv", ROWS, kind="reviews", repeat=repeat, seed=1).path
    with path.open(newline="") as file:
        reviews = list(csv.DictReader(file, strict=True))
    assert [review["id"] for review in reviews] == [str(number) for number in range(1, ROWS + 1)]
    counts = Counter(review["text"] for review in reviews)
    truth = json.loads((tmp_path / "reviews.csv.truth.json").read_text())
    assert truth == {"rows": ROWS, "distinct_texts": len(counts)}
    shared = sum(count for count in counts.values() if count > 1)
    assert repeat * ROWS * 0.85 <= shared <= repeat * ROWS * 1.15
    again = generate(tmp_path / "again.csv", ROWS, kind="reviews", repeat=repeat, seed=1).path
    assert again.read_bytes() == path.read_bytes()
    generate(tmp_path / "reviews.csv", 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "again.csv",
        "again.csv.truth.json",
        "reviews.csv",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "dogs"},
        {"kind": "people", "format": "json"},
        {"kind": "people", "repeat": 0.5},
        {"kind": "reviews", "dirty": 0.1},
        {"kind": "reviews", "repeat": 1.1},
        {"kind": "reviews", "repeat": float("nan")},
    ],
)
def test_an_option_that_a_kind_does_not_have_is_refused(
    tmp_path: Path, arguments: dict[str, object]
) -> None:
    with pytest.raises(BadArgument):
        generate(tmp_path / "f.csv", 1, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
