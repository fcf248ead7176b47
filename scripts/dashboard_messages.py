"""Collect the texts of the dashboard for a translation, and check its code and its translations.

    python scripts/dashboard_messages.py > app/dashboard/messages/de.json   a catalogue to fill in
    python scripts/dashboard_messages.py --check

A text is the argument of `t`, or the last text of `plural` and `tCount` in `app/dashboard/js`. It
must be written there as one string, since it is the key of its translation. The check also fails
for a catalogue with a text that the page does not have, or with other `{values}` than the English
text. It prints how many texts each catalogue lacks: these stay English.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "app" / "dashboard"
CALL = re.compile(r"(?<![\w.$])(t|plural|tCount)\(")
STRING = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""")
BEFORE_A_PATTERN = "(,=:[!&|?{};+\n"
"""What stands before a slash that opens a regular expression and does not divide."""
PATTERN = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/")
VALUE = re.compile(r"\{(\w+)\}")
DEFINITIONS = re.compile(r"(?:function|const) (?:t|plural|tCount)\b")
PLURAL_ARGUMENTS = {"plural": 1, "tCount": 2}
"""Index of the argument with the singular."""


@dataclass(frozen=True)
class Text:
    """A text of the page."""

    key: str
    is_plural: bool
    """Whether it depends on a number: it has a translation for each plural category."""


class NotAText(Exception):
    """An argument that is no string, so that its translation cannot be found."""


def texts_of(source: str) -> Iterator[Text]:
    """Yield the texts of a module. Raises NotAText."""
    source = without_comments(source)
    for match in CALL.finditer(source):
        if DEFINITIONS.search(_last_two_lines(source[: match.start()])):
            continue
        arguments = _arguments(source, match.end())
        if match[1] == "t":
            yield Text(_string(arguments[0]), is_plural=False)
        else:
            yield Text(_plural_key(match[1], arguments), is_plural=True)


def _plural_key(function: str, arguments: list[str]) -> str:
    first = PLURAL_ARGUMENTS[function]
    if function == "tCount":
        return _string(arguments[first + 1])
    if len(arguments) > first + 1:
        return f"{{count}} {_string(arguments[first + 1])}"
    return f"{{count}} {_string(arguments[first])}s"


def _string(argument: str) -> str:
    if STRING.fullmatch(argument) is None:
        raise NotAText(argument)
    text: str = ast.literal_eval(argument)
    return text


def _arguments(source: str, start: int) -> list[str]:
    """Return the arguments of the call whose parenthesis opens before `start`."""
    depth, place, begin = 0, start, start
    arguments: list[str] = []
    while depth >= 0:
        character = source[place]
        if character in "\"'`":
            place = _end_of_string(source, place)
            continue
        if character in ")]}":
            depth -= 1
        if (character == "," and depth == 0) or depth < 0:
            arguments.append(source[begin:place].strip())
            begin = place + 1
        if character in "([{":
            depth += 1
        place += 1
    return [argument for argument in arguments if argument]


def _end_of_string(source: str, place: int) -> int:
    quote = source[place]
    place += 1
    while source[place] != quote:
        place += 2 if source[place] == "\\" else 1
    return place + 1


def _last_two_lines(before: str) -> str:
    return before[before.rfind("\n", 0, before.rfind("\n")) + 1 :]


def without_comments(source: str) -> str:
    """Return the source without comments, and without regular expressions, whose quotes open no
    string.
    """
    kept: list[str] = []
    place = 0
    while place < len(source):
        end = _end_of_token(source, place, "".join(kept[-20:]).rstrip(" "))
        token = source[place:end]
        kept.append(" " if token.startswith("/") and len(token) > 1 else token)
        place = end
    return "".join(kept)


def _end_of_token(source: str, place: int, before: str) -> int:
    """Return the end of a string, a comment, a regular expression, or of one character."""
    if source[place] in "\"'`":
        return _end_of_string(source, place)
    if source.startswith("//", place):
        return _found(source, "\n", place)
    if source.startswith("/*", place):
        return _found(source, "*/", place) + 2
    if source[place] == "/" and (not before or before[-1] in BEFORE_A_PATTERN):
        pattern = PATTERN.match(source, place)
        return pattern.end() if pattern is not None else place + 1
    return place + 1


def _found(source: str, text: str, place: int) -> int:
    end = source.find(text, place)
    return len(source) if end < 0 else end


def collect(folder: Path = FOLDER) -> tuple[dict[str, Text], list[str]]:
    """Return the texts of all modules by key, and complaints about arguments that are none."""
    texts: dict[str, Text] = {}
    complaints: list[str] = []
    for path in sorted((folder / "js").rglob("*.js")):
        if path.name == "messages.js":
            continue
        try:
            for text in texts_of(path.read_text()):
                texts[text.key] = text
        except NotAText as error:
            complaints.append(f"{path.relative_to(folder)}: {error} is no text")
    return texts, complaints


def template(texts: dict[str, Text]) -> dict[str, object]:
    """Return a catalogue whose translations are the English texts."""
    return {
        key: {"one": key, "other": key} if texts[key].is_plural else key for key in sorted(texts)
    }


def check_catalogue(catalogue: dict[str, object], texts: dict[str, Text]) -> Iterator[str]:
    """Yield what is wrong with a translation."""
    for key, translation in catalogue.items():
        if key not in texts:
            yield f"{key!r} is no text of the page"
            continue
        variants = translation if isinstance(translation, dict) else {"other": translation}
        if "other" not in variants:
            yield f"{key!r} has no variant `other`"
        for variant in variants.values():
            if not isinstance(variant, str):
                yield f"{key!r} is translated by {variant!r}"
            elif not set(VALUE.findall(variant)) <= set(VALUE.findall(key)):
                yield f"{key!r} has other values than {variant!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only check")
    options = parser.parse_args()
    texts, complaints = collect()
    if not options.check:
        print(json.dumps(template(texts), indent=2, ensure_ascii=False))
        return 0
    for path in sorted((FOLDER / "messages").glob("*.json")):
        catalogue = json.loads(path.read_text())
        complaints += [f"{path.name}: {line}" for line in check_catalogue(catalogue, texts)]
        print(f"{path.name}: {len(texts.keys() - catalogue.keys())} of {len(texts)} texts missing")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
