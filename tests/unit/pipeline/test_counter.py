"""RowCounter: the number reported first is the number that is split later."""

from __future__ import annotations

import io
import random

import pytest

from app.errors import EmptyFile, RequestError
from app.features.batches.counter import RowCounter
from app.formats.detect import Declared, detect
from app.formats.registry import Dialect, open_format
from app.pipeline.cutter import Limits, Position, cut

ALPHABETS = ('ab ,é"\n\r', "ab ,é\n", 'a"', "\r\n\r\nx")


@pytest.fixture(autouse=True)
def short_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that small files continue after their dialect is known."""
    monkeypatch.setattr("app.features.batches.counter.SAMPLE_BYTES", 200)


def messy_file(rng: random.Random) -> bytes:
    alphabet = rng.choice(ALPHABETS)
    lines = []
    for number in range(rng.randint(0, 60)):
        text = "".join(rng.choices(alphabet, k=rng.choice((0, 3, 10, 50, 400))))
        lines.append(
            f"{number}," + (text if rng.random() < 0.4 else '"' + text.replace('"', '""') + '"')
        )
    head = "id,text" + rng.choice(("\n", "\r\n"))
    return (head + rng.choice(("\n", "\r\n")).join(lines) + rng.choice(("", "\n", "\n\n"))).encode()


def counted(
    data: bytes, declared: Declared, rng: random.Random, window_bytes: int
) -> tuple[int, Dialect]:
    seen: list[Dialect] = []

    def look(sample: bytes, complete: bool) -> Dialect:
        seen.append(detect(sample, complete=complete, declared=declared))
        return seen[-1]

    counter = RowCounter(look, window_bytes=window_bytes)
    place = 0
    while place < len(data):
        size = rng.choice((1, 7, 64, 5000))
        counter.feed(data[place : place + size])
        place += size
    return counter.finish(), seen[0]


@pytest.mark.parametrize("seed", range(4))
def test_the_count_equals_that_of_the_splitter_for_any_pieces(seed: int) -> None:
    rng = random.Random(seed)
    strict = Declared(
        format="csv", delimiter=",", quote='"', escape="", skip_rows=0, on_bad_row="keep"
    )
    compared = 0
    for _ in range(150):
        data, window_bytes = messy_file(rng), rng.choice((1, 50, 300, 100_000))
        declared = rng.choice(
            (strict, Declared(), Declared(format="jsonl"), Declared(skip_footer=2))
        )
        try:
            count, dialect = counted(data, declared, rng, window_bytes)
        except RequestError:
            continue
        start = Position(dialect.data_start, 0, dialect.data_line)
        limits, budget = Limits(rng.choice((1, 5, 1000))), rng.choice((1, 1 << 30))
        made = cut(
            io.BytesIO(data),
            open_format(dialect),
            start,
            size=len(data),
            limits=limits,
            budget=budget,
        )
        while not made.done:
            made = cut(
                io.BytesIO(data),
                open_format(dialect),
                made.position,
                size=len(data),
                limits=limits,
                budget=budget,
            )
        assert count == made.position.rows, (data, declared, window_bytes)
        compared += 1
    assert compared > 75


def test_oversized_records_count_once_and_are_not_kept() -> None:
    counter = RowCounter(
        lambda sample, complete: detect(
            sample, complete=complete, declared=Declared(format="csv", delimiter=",")
        ),
        window_bytes=100,
        row_bytes=1000,
    )
    for piece in (b"id,text\n1,a\n2,", *[b"x" * 500] * 20, b"\n3,b\n4,", *[b"y" * 500] * 20):
        counter.feed(piece)
        assert len(counter._pending) < 3000
    assert counter.finish() == 4


def test_a_file_without_rows_is_refused() -> None:
    counter = RowCounter(
        lambda sample, complete: detect(sample, complete=complete, declared=Declared())
    )
    with pytest.raises(EmptyFile):
        counter.finish()
