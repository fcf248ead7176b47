"""Names of the variables that hold settings: the prefix that they may have, and misspelt ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
)

PREFIX = "GRANULA_"
NOT_PREFIXED = frozenset({"key"})
"""Settings that have no form with the prefix: GRANULA_KEY is the key of a user for the clients."""
OF_CLIENTS = frozenset({"GRANULA_URL", "GRANULA_KEY", "GRANULA_PROGRAM"})
SHORTEST = 6
"""Letters of a name that is compared: shorter ones are alike by chance."""
LIKENESS = 0.88


class PrefixedEnvironment(EnvSettingsSource):
    """Settings named with the prefix, from the environment."""

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings, env_prefix=PREFIX)

    def __call__(self) -> dict[str, Any]:
        return _without_others(super().__call__())


class PrefixedFile(DotEnvSettingsSource):
    """Settings named with the prefix, from the same file as `plain`."""

    def __init__(self, settings: type[BaseSettings], plain: PydanticBaseSettingsSource) -> None:
        assert isinstance(plain, DotEnvSettingsSource)
        super().__init__(settings, env_file=plain.env_file, env_prefix=PREFIX)

    def __call__(self) -> dict[str, Any]:
        return _without_others(super().__call__())


def _without_others(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in NOT_PREFIXED}


def misspelt_here(settings: type[BaseSettings]) -> list[str]:
    """Return a sentence for each variable of the environment and of `.env` that is probably meant
    to be a setting.
    """
    in_file = [name.upper() for name in DotEnvSettingsSource(settings).env_vars]
    return list(_sentences(misspelt({*in_file, *os.environ}, settings.model_fields)))


def misspelt(variables: Iterable[str], settings: Iterable[str]) -> dict[str, str]:
    """Return the variables that are no settings but nearly have the name of one, with that name.
    Those that begin with the prefix can mean nothing else: an empty name if none is near.
    """
    known = {name.upper() for name in settings}
    unknown: dict[str, str] = {}
    for variable in sorted(variables):
        name = variable.upper()
        has_prefix = name.startswith(PREFIX)
        plain = name.removeprefix(PREFIX)
        if name in known or name in OF_CLIENTS:
            continue
        if has_prefix and plain in known:
            continue
        near = get_close_matches(plain, known, 1, LIKENESS) if len(plain) >= SHORTEST else []
        if near:
            unknown[variable] = near[0]
        elif has_prefix:
            unknown[variable] = ""
    return unknown


def _sentences(unknown: Mapping[str, str]) -> Iterator[str]:
    for variable, near in unknown.items():
        if near:
            yield f"{variable} is not a setting and has no effect. Did you mean {near}?"
        else:
            yield f"{variable} is not a setting and has no effect."
