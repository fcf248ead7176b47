"""Feature of analysis: profiles of the columns of a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Tools

if TYPE_CHECKING:
    from app.processors.base import Processor


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.analysis.processor import ProfileProcessor

    return [ProfileProcessor()]


ANALYSIS = Feature("analysis", has_commands=True, processors=_processors)
