"""What a job may say about its work: a model per processor, read from JSON or from the texts of a
query.
"""

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
    """Derive the options of a processor from this. Names that it has not are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoOptions(Options):
    """Of a processor that takes none."""


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], whose: str, given: Mapping[str, Any]) -> Model:
    """The options, as JSON or as texts: a text that is none of what an option takes is read as
    JSON.

    `whose` they are, for the sentence: `the processor rows`. Raises InvalidParameter.
    """
    try:
        options = _parsed(model, given)
    except ValidationError as error:
        raise _refused(error, whose, given) from None
    if NUL in msgspec.json.encode(as_json(options)):
        raise InvalidParameter(f"An option of {whose} has a NUL character.")
    return options


def validated_some(model: type[Model], whose: str, given: Mapping[str, Any]) -> Model | None:
    """The options, of which more may come: None if some are missing. Raises InvalidParameter for
    what is wrong already.
    """
    try:
        return _parsed(model, given)
    except ValidationError as error:
        if any(fault["type"] != "missing" for fault in error.errors()):
            raise _refused(error, whose, given) from None
        return None


def as_json(options: BaseModel) -> dict[str, Any]:
    """As JSON, and only what was given: defaults may change."""
    return options.model_dump(mode="json", exclude_unset=True)


def restored(model: type[Model], whose: str, values: Mapping[str, Any]) -> Model:
    """From what the database has, which may hold more than the options. Raises InvalidParameter if
    they do not fit any more, since the model is another one now.
    """
    given = {name: value for name, value in values.items() if name in model.model_fields}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _refused(error, whose, given) from None


def _parsed(model: type[Model], given: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        read = {
            name: _from_json(given[name])
            for name in _wrong(error)
            if isinstance(given.get(name), str)
        }
        if not any(value is not None for value in read.values()):
            raise
        try:
            return model.model_validate(
                {**given, **{k: value for k, value in read.items() if value is not None}}
            )
        except ValidationError:
            raise error from None


def _wrong(error: ValidationError) -> set[str]:
    return {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}


def _from_json(text: str) -> Any:
    """None for a text that is no JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _refused(error: ValidationError, whose: str, given: Mapping[str, Any]) -> InvalidParameter:
    problems = error.errors()
    unknown = [str(problem["loc"][0]) for problem in problems if _is_unknown(problem)]
    if unknown:
        names = sorted(unknown)
        return InvalidParameter(f"{whose[:1].upper()}{whose[1:]} has no option {names[0][:60]!r}.")
    named = (
        f"{'.'.join(fault.place)[:60]}: {fault.message[:100]}"
        for fault in faults(problems[:SHOWN_FAULTS], dict(given))
    )
    return InvalidParameter(f"These options of {whose} cannot be used: {'; '.join(named)}.")


def _is_unknown(problem: Any) -> bool:
    return problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1
