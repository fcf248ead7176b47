"""Translates Pydantic's errors for users, without names of Python: its locations also name
validators and our classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

PYTHON = re.compile(r"[\[({<]")
"""Part of a name that Pydantic gives to a choice, like `function-after[...]`."""
MESSAGES = {
    "is_instance_of": "Input should be of another type",
    "is_subclass_of": "Input should be of another type",
    "callable_type": "Input should be of another type",
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
    "dataclass_type": "Input should be an object",
    "dict_type": "Input should be an object",
    "mapping_type": "Input should be an object",
    "list_type": "Input should be a list",
    "none_required": "Input should be null",
    "extra_forbidden": "There is no parameter of this name",
    "union_tag_not_found": "Input has none of the accepted forms",
    "no_such_attribute": "Input has no such member",
}
"""Replacements for messages that name functions, classes or types of Python."""


class Fault(NamedTuple):
    code: str
    place: list[str]
    """Names and numbers from the outermost in."""
    message: str


def faults(errors: Iterable[Mapping[str, Any]], sent: Any, skip: int = 0) -> Iterator[Fault]:
    """Yield faults from Pydantic's errors over `sent` (None if unknown). The first `skip` parts of
    each location name the place of the input itself.
    """
    for error in errors:
        place = [
            *map(str, error["loc"][:skip]),
            *_place(error["loc"][skip:], sent, is_missing=error["type"] == "missing"),
        ]
        yield Fault(error["type"], place, _message(error))


def _place(location: Sequence[str | int], sent: Any, *, is_missing: bool) -> Iterator[str]:
    """Yield the location without the names of choices, which no input has. A missing member is not
    in the input either, and comes last.
    """
    value = sent
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif sent is not None and not (is_missing and is_last):
            continue
        elif PYTHON.search(str(part)):
            continue
        yield str(part)


def _message(error: Mapping[str, Any]) -> str:
    kind, message = str(error["type"]), str(error["msg"])
    if kind == "union_tag_invalid":  # names the function that returns the tag
        return f"Input should be one of {error['ctx']['expected_tags']}"
    return (
        MESSAGES.get(kind, message).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    )
