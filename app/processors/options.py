"""Options of jobs: a model for each processor, read from JSON or from the texts of a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import InvalidParameter
from app.schemas.faults import faults

SHOWN_FAULTS = 5
NUL = b"\\u0000"


class Options(BaseModel):
    """Base of a processor's options. Unknown names are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoOptions(Options):
    """Options of a processor without options."""


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], whose: str, values: Mapping[str, Any]) -> Model:
    """Validate options given as JSON or as texts; a text that an option does not accept is parsed
    as JSON.

    `whose` names the owner of the options in messages, such as `the processor rows`. Raises
    InvalidParameter.
    """
    try:
        options = _parsed(model, values)
    except ValidationError as error:
        raise _refused(error, whose, values) from None
    if NUL in msgspec.json.encode(as_json(options)):
        raise InvalidParameter(f"An option of {whose} has a NUL character.")
    return options


def validated_some(model: type[Model], whose: str, values: Mapping[str, Any]) -> Model | None:
    """Validate options that may be incomplete; return None if some are missing. Raises
    InvalidParameter for invalid ones.
    """
    try:
        return _parsed(model, values)
    except ValidationError as error:
        if any(fault["type"] != "missing" for fault in error.errors()):
            raise _refused(error, whose, values) from None
        return None


def as_json(options: BaseModel) -> dict[str, Any]:
    """Return only the given options as JSON, since defaults may change."""
    return options.model_dump(mode="json", exclude_unset=True)


def restored(model: type[Model], whose: str, values: Mapping[str, Any]) -> Model:
    """Restore options from the database, which may store more than the options. Raises
    InvalidParameter if the model has changed and they no longer fit.
    """
    known = {name: value for name, value in values.items() if name in model.model_fields}
    try:
        return model.model_validate(known)
    except ValidationError as error:
        raise _refused(error, whose, known) from None


def _parsed(model: type[Model], values: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        read = {
            name: _from_json(values[name])
            for name in _wrong(error)
            if isinstance(values.get(name), str)
        }
        if not any(value is not None for value in read.values()):
            raise
        try:
            return model.model_validate(
                {**values, **{k: value for k, value in read.items() if value is not None}}
            )
        except ValidationError:
            raise error from None


def _wrong(error: ValidationError) -> set[str]:
    return {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}


def _from_json(text: str) -> Any:
    """Return None for a text that is not JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _refused(error: ValidationError, whose: str, values: Mapping[str, Any]) -> InvalidParameter:
    problems = error.errors()
    unknown = [str(problem["loc"][0]) for problem in problems if _is_unknown(problem)]
    if unknown:
        names = sorted(unknown)
        return InvalidParameter(f"{whose[:1].upper()}{whose[1:]} has no option {names[0][:60]!r}.")
    named = (
        f"{'.'.join(fault.place)[:60]}: {fault.message[:100]}"
        for fault in faults(problems[:SHOWN_FAULTS], dict(values))
    )
    return InvalidParameter(f"These options of {whose} cannot be used: {'; '.join(named)}.")


def _is_unknown(problem: Any) -> bool:
    return problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1
