"""The processors by name: that of plain rows, those of the features, and `PROCESSORS=package.module:Class`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from app.errors import InvalidParameter, SettingsInvalid, UnknownProcessor
from app.processors.base import Processor, is_uploadable
from app.processors.rows import RowsProcessor
from app.schemas.base import RecordSchema


class Processors:
    """Every processor of this process, made once."""

    def __init__(self, extra: Iterable[str] = (), *, given: Iterable[Processor] = ()) -> None:
        """`extra` are named by the settings; `given` were made by who knows what they need."""
        made: list[Processor] = [RowsProcessor(), *given, *(_load(name) for name in extra)]
        self._by_name = {processor.name: processor for processor in made}

    @property
    def schemas(self) -> dict[str, type[RecordSchema]]:
        """Those that processors hold rows against, by name, which is also that of the processor."""
        found = {name: getattr(processor, "schema", None) for name, processor in self._by_name.items()}
        return {name: schema for name, schema in found.items() if schema is not None}

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    @property
    def uploadable(self) -> list[str]:
        """Those that an upload may name."""
        return [name for name in self.names if is_uploadable(self._by_name[name])]

    def get(self, name: str) -> Processor:
        """The processor; raises UnknownProcessor listing those that an upload may name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownProcessor(
                f"There is no processor {name[:60]!r}; there are: {', '.join(self.uploadable)}."
            ) from None

    def columns(self, name: str, header: Sequence[str], options: dict[str, Any]) -> list[str]:
        """Those of the results for a file with this header; raises UnknownProcessor, MissingColumn."""
        processor = self.get(name)
        given = getattr(processor, "columns_given", None)
        return list(processor.columns(header) if given is None else given(header, options))

    def check(self, name: str, options: dict[str, Any]) -> None:
        """Raises UnknownProcessor, or the RequestError that the processor has for these options."""
        processor = self.get(name)
        check = getattr(processor, "check", None)
        if check is not None:
            check(options)
        elif options:
            raise InvalidParameter(f"The processor {name} has no option {min(options)[:60]!r}.")

    async def close(self) -> None:
        """Let go of what processors hold: connections to others."""
        for processor in self._by_name.values():
            close = getattr(processor, "close", None)
            if close is not None:
                await close()


def _load(path: str) -> Processor:
    module, _, kind = path.partition(":")
    try:
        return getattr(import_module(module), kind)()  # type: ignore[no-any-return]
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsInvalid(f"PROCESSORS: {path!r} cannot be loaded: {error}") from error
