"""A confidence rises with its score and stays between 0 and 1."""

from __future__ import annotations

import pytest

from app.formats.calibration import DELIMITER, HEADER, Point, calibrated


@pytest.mark.parametrize("points", [DELIMITER, HEADER])
def test_a_confidence_rises_with_its_score(points: tuple[Point, ...]) -> None:
    shown = [calibrated(score / 100, points) for score in range(101)]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (0.0, 1.0)
    for score, share in points:
        assert calibrated(score, points) == pytest.approx(share)
