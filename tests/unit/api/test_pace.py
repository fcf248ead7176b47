"""How long the service waits for a slow client, computed without a network."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.api.pace import Pace

STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1 << 24)), max_size=50)


def test_silence_uses_up_the_allowance_once() -> None:
    pace = Pace(30, 1024)
    pace.count(29.5, 0)
    assert pace.left == 0.5
    pace.count(0.5, 0)
    assert pace.left == 0


def test_bytes_at_the_minimum_speed_keep_a_client_and_fewer_do_not() -> None:
    steady, slow = Pace(30, 1024), Pace(30, 1024)
    for _ in range(1000):
        steady.count(1, 1024)
    assert steady.left >= 29
    for _ in range(70):
        slow.count(1, 512)
    assert slow.left < 0


def test_a_fast_start_earns_no_more_than_the_first_allowance() -> None:
    pace = Pace(30, 1024)
    pace.count(1, 10 << 30)
    assert pace.left == 30


def test_without_a_minimum_speed_only_silence_counts() -> None:
    pace = Pace(30, 0)
    for _ in range(100):
        pace.count(29, 1)
    assert pace.left == 30
    pace.count(30, 0)
    assert pace.left == 0


@given(STEPS)
def test_the_time_is_bounded_by_the_bytes_and_the_first_allowance(
    steps: list[tuple[float, int]],
) -> None:
    pace, waited, size = Pace(30, 1024), 0.0, 0
    for seconds, count in steps:
        if pace.left <= seconds:  # here the client would be disconnected
            break
        pace.count(seconds, count)
        waited, size = waited + seconds, size + count
        assert pace.left <= 30
        assert waited <= 30 + size / 1024 + 1e-6
