"""The processors by name: that of plain rows, those of the features, and
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
"""What a processor can have only if it derives from this class."""
TAKEN = {"source", "reference_file_id", "template_id"}
"""Names that the engine keeps beside the options of a job."""


class Processors:
    """Every processor of this process, made once, with what each can do."""

    def __init__(self, extra: Iterable[str] = (), *, given: Iterable[Processor] = ()) -> None:
        """`extra` are named by the settings, `given` were made by who knows what they need. Raises
        SettingsInvalid.
        """
        made = [RowsProcessor(), *given, *(_load(name) for name in extra)]
        self._by_name = {processor.name: processor for processor in made}
        self._capabilities = {
            name: Capabilities.of(processor) for name, processor in self._by_name.items()
        }

    @property
    def schemas(self) -> dict[str, type[RecordSchema]]:
        """Those that processors hold rows against, by name, which is also that of the processor."""
        checking = {name: can.records for name, can in self._capabilities.items()}
        return {name: records.schema for name, records in checking.items() if records is not None}

    @property
    def new_tables(self) -> list[NewTable]:
        """Those that processors bring, in the order of the processors."""
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
        """Those that an upload may name."""
        return [name for name in self.names if self._by_name[name].is_uploadable]

    def find(self, name: str) -> Processor | None:
        return self._by_name.get(name)

    def get(self, name: str) -> Processor:
        """Raises UnknownProcessor listing those that an upload may name."""
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
        """The options that the database has of a job; raises UnknownProcessor, InvalidParameter."""
        return restored(self.get(name).options, f"the processor {name}", stored)

    def columns(
        self, name: str, header: Sequence[str], options: Options | Mapping[str, Any]
    ) -> list[str]:
        """Those of the results for a file with this header; raises UnknownProcessor,
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
        """Let go of what processors hold: connections to others."""
        for processor in self._by_name.values():
            await processor.close()


def _load(path: str) -> Processor:
    module, _, kind = path.partition(":")
    try:
        made = getattr(import_module(module), kind)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsInvalid(f"PROCESSORS: {path!r} cannot be loaded: {error}") from error
    problem = problem_of(made) or _taken(made)
    if problem is not None:
        raise SettingsInvalid(f"PROCESSORS: {path!r} cannot be used: {problem} ({PAGE}).")
    return made  # type: ignore[no-any-return]


def problem_of(made: Any) -> str | None:
    """What is wrong with a processor, as far as that shows before the first row."""
    kind = type(made)
    if not issubclass(kind, Processor):
        return "it does not derive from granula.plugins.Processor"
    if not isinstance(getattr(made, "name", None), str) or not made.name:
        return "it has no name"
    for member, capability in MEMBERS.items():
        if hasattr(made, member) != isinstance(made, capability):
            has = "has" if hasattr(made, member) else "has no"
            return f"it {has} `{member}`, which is what a {capability.__name__} has"
    if not (isinstance(made.options, type) and issubclass(made.options, Options)):
        return "its `options` is no subclass of granula.plugins.Options"
    for method, arguments in (("columns", ((), None)), ("check", (None,))):
        try:
            inspect.signature(getattr(kind, method)).bind(made, *arguments)
        except TypeError as error:
            return f"its method `{method}` is called otherwise now: {error}"
    if inspect.iscoroutinefunction(made.process) != isinstance(made, WaitsForService):
        return "its `process` is a coroutine function exactly if it is a WaitsForService"
    return None


def _taken(made: Processor) -> str | None:
    taken = TAKEN & made.options.model_fields.keys()
    return f"it has an option `{min(taken)}`, and that name is taken" if taken else None
