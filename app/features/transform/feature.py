"""Feature of transforms: a new file with the rows of a file in another shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service, Tools

if TYPE_CHECKING:
    from app.jobs.job_types import JobType
    from app.processors.base import Processor
    from app.wiring import Core


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.transform.processor import TransformProcessor

    return [TransformProcessor()]


def _services(core: Core) -> Iterable[Service]:
    from app.features.templates.service import Templates
    from app.features.transform.service import Transforms

    return [Service(Transforms(core.file_jobs, core.of(Templates), core.machine, core.sources))]


def _job_types(core: Core) -> Iterable[JobType]:
    from app.features.transform.job_type import transform
    from app.features.transform.service import Transforms

    return [transform(core.of(Transforms))]


TRANSFORM = Feature(
    "transform", has_commands=True, processors=_processors, services=_services, job_types=_job_types
)
