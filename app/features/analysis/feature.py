"""Analysis: what is in the columns of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from app.feature import Feature, Tools

if TYPE_CHECKING:
    from app.jobs.job_types import Prepare
    from app.processors.base import Processor
    from app.wiring import Core


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.analysis.processor import ProfileProcessor

    return [ProfileProcessor()]


def _job_types(core: Core) -> Mapping[str, Prepare]:
    from app.jobs.job_types import of_processor

    return {"analyze": of_processor(core.processors, "profile")}


ANALYSIS = Feature("analysis", processors=_processors, job_types=_job_types)
