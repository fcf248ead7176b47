"""The processors by name: the one for plain rows, those of the features, and those of
`PROCESSORS=package.module:Class`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from app import extras
from app.errors import NotConfigured, SettingsInvalid, UnknownProcessor
from app.processors.base import (
    Capabilities,
    ChecksRecords,
    CollectsFiles,
    MakesFile,
    Processor,
    Reduces,
    ReducesParts,
    WaitsForService,
    WritesTables,
)
from app.processors.options import Options, restored
from app.processors.rows import RowsProcessor
from app.processors.tables import NewTable
from app.schemas.base import RecordSchema

PAGE = "docs/processors.md"
MEMBERS: dict[str, Any] = {
    "conclude": Reduces,
    "conclude_parts": ReducesParts,
    "collected": CollectsFiles,
    "output": MakesFile,
    "tables": WritesTables,
    "check_available": WaitsForService,
    "schema": ChecksRecords,
}
"""Members that a processor may have only if it derives from this class."""
RESERVED = {"source", "reference_file_id", "template_id", "max_rejects"}
"""Names that the engine stores together with the options of a job."""


class Processors:
    """All processors of this process, created once, with their capabilities."""

    def __init__(self, extra: Iterable[str] = (), *, instances: Iterable[Processor] = ()) -> None:
        """`extra` are named by the settings; `instances` are added unchanged. Raises
        SettingsInvalid.
        """
        processors = [RowsProcessor(), *instances, *(_load(name) for name in extra)]
        self._by_name = {processor.name: processor for processor in processors}
        self._capabilities = {
            name: Capabilities.of(processor) for name, processor in self._by_name.items()
        }

    @property
    def schemas(self) -> dict[str, type[RecordSchema]]:
        """Return the schemas of processors that validate rows, by name, which is also the
        processor's.
        """
        checking = {name: can.records for name, can in self._capabilities.items()}
        return {name: records.schema for name, records in checking.items() if records is not None}

    @property
    def new_tables(self) -> list[NewTable]:
        """Return the tables of the processors, in their order."""
        new: list[NewTable] = []
        for processor in self._by_name.values():
            if isinstance(processor, WritesTables):
                new += [table for table in processor.tables if isinstance(table, NewTable)]
        return new

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    @property
    def uploadable(self) -> list[str]:
        """Return the names that an upload may use."""
        return [name for name in self.names if self._by_name[name].is_uploadable]

    def find(self, name: str) -> Processor | None:
        return self._by_name.get(name)

    def get(self, name: str) -> Processor:
        """Return a processor; raises UnknownProcessor, which lists the names that an upload may
        use.
        """
        processor = self.find(name)
        if processor is None:
            raise UnknownProcessor(
                f"There is no processor {name[:60]!r}; there are: {', '.join(self.uploadable)}."
            )
        return processor

    def capabilities(self, name: str) -> Capabilities:
        """Raises UnknownProcessor."""
        return self._capabilities[self.get(name).name]

    def restored(self, name: str, stored: Mapping[str, Any]) -> Options:
        """Return the stored options of a job; raises UnknownProcessor, InvalidParameter."""
        return restored(self.get(name).options, f"the processor {name}", stored)

    def columns(
        self, name: str, header: Sequence[str], options: Options | Mapping[str, Any]
    ) -> list[str]:
        """Return the columns of the results for a file with this header; raises UnknownProcessor,
        MissingColumn.
        """
        typed = options if isinstance(options, BaseModel) else self.restored(name, options)
        return list(self.get(name).columns(header, typed))

    def check_installed(self, name: str) -> None:
        """Raises UnknownProcessor; NotConfigured if packages that it imports are missing."""
        needs = self.get(name).needs
        if needs and not extras.is_installed(needs):
            raise NotConfigured(
                f"The processor {name} needs packages that are not installed:"
                f" {extras.how_to_install(needs)}."
            )

    async def close(self) -> None:
        """Close all processors."""
        for processor in self._by_name.values():
            await processor.close()


def _load(path: str) -> Processor:
    module, _, kind = path.partition(":")
    try:
        processor = getattr(import_module(module), kind)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsInvalid(f"PROCESSORS: {path!r} cannot be loaded: {error}") from error
    problem = problem_of(processor) or _reserved_option(processor)
    if problem is not None:
        raise SettingsInvalid(f"PROCESSORS: {path!r} cannot be used: {problem} ({PAGE}).")
    return processor  # type: ignore[no-any-return]


def problem_of(processor: Any) -> str | None:
    """Return the faults of a processor that are visible before the first row."""
    kind = type(processor)
    if not issubclass(kind, Processor):
        return "it does not derive from granula.plugins.Processor"
    if not isinstance(getattr(processor, "name", None), str) or not processor.name:
        return "it has no name"
    for member, capability in MEMBERS.items():
        if hasattr(processor, member) != isinstance(processor, capability):
            has = "has" if hasattr(processor, member) else "has no"
            return f"it {has} `{member}`, which is what a {capability.__name__} has"
    if not (isinstance(processor.options, type) and issubclass(processor.options, Options)):
        return "its `options` is not a subclass of granula.plugins.Options"
    for method, arguments in (("columns", ((), None)), ("check", (None,))):
        try:
            inspect.signature(getattr(kind, method)).bind(processor, *arguments)
        except TypeError as error:
            return f"its method `{method}` is called otherwise now: {error}"
    if inspect.iscoroutinefunction(processor.process) != isinstance(processor, WaitsForService):
        return "its `process` is a coroutine function exactly if it is a WaitsForService"
    return None


def _reserved_option(processor: Processor) -> str | None:
    reserved = RESERVED & processor.options.model_fields.keys()
    return f"it has an option `{min(reserved)}`, and that name is taken" if reserved else None
