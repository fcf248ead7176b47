"""Paths to records inside a JSON document, such as `data.items`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MAX_SHOWN_PATHS = 20
MAX_PATH_DEPTH = 16
ROOT = "."
PLAIN_KEY = re.compile(r"[^./\s\[\]]+")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[][{},:]|[^\s\][{},:"]+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class PathFound:
    """An array or object in the beginning of a document."""

    path: tuple[str, ...]
    is_array: bool
    holds_objects: bool
    """Whether its first value is an object."""

    @property
    def text(self) -> str:
        return path_text(self.path)


def parse_path(text: str) -> tuple[str, ...]:
    """Return the keys of a path. `a.b`, `.a.b`, `$.a.b` and the JSON Pointer `/a/b` are the same
    path; `.` and `$` are the document itself.
    """
    if text.startswith("/"):
        parts = text[1:].split("/")
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)
    text = text.removeprefix("$").removeprefix(".")
    return tuple(text.split(".")) if text else ()


def path_text(path: tuple[str, ...]) -> str:
    """Return the path as `records` takes it: a JSON Pointer if a key has a dot or a slash."""
    if not path:
        return ROOT
    if all(PLAIN_KEY.fullmatch(key) for key in path) and not path[0].startswith("$"):
        return ".".join(path)
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def paths_in(text: str) -> list[PathFound]:
    """Return the arrays and objects in the beginning of a JSON document, the outermost first.
    Nothing inside an array is listed. The document may be cut anywhere.
    """
    paths: list[PathFound] = []
    keys: list[str] = []  # one for each open object
    depth_of_array = 0
    last_string = ""
    pending = True  # a value may begin here
    parts = [match[0] for match in TOKEN.finditer(text)]
    for place, part in enumerate(parts):
        if depth_of_array:
            depth_of_array += {"[": 1, "{": 1, "]": -1, "}": -1}.get(part, 0)
        elif part in ("{", "["):
            following = parts[place + 1] if place + 1 < len(parts) else ""
            if pending and len(keys) <= MAX_PATH_DEPTH:
                is_array = part == "["
                holds_objects = following == "{" if is_array else _member_is_object(parts, place)
                paths.append(PathFound(tuple(keys), is_array, holds_objects))
            if part == "[":
                depth_of_array = 1
            else:
                keys.append("")
        elif part == "}":
            if len(keys) <= 1:
                break
            keys.pop()
        elif part == ":" and keys:
            keys[-1] = _decoded(last_string)
            pending = True
            continue
        elif part.startswith('"'):
            last_string = part
        pending = False
    return sorted(paths, key=lambda found_path: len(found_path.path))


def _member_is_object(tokens: list[str], place: int) -> bool:
    return tokens[place + 2 : place + 4] == [":", "{"]


def _decoded(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token[1:-1]


def arrays_in(text: str) -> list[str]:
    """Return the paths of arrays that begin with an object, in the beginning of a document."""
    return [item.text for item in paths_in(text) if item.is_array and item.holds_objects]


def listed_paths(text: str) -> str:
    """Return what a document has, as a sentence for an error: its arrays, else its objects."""
    paths = paths_in(text)
    arrays = [item.text for item in paths if item.is_array]
    names = arrays or [item.text for item in paths if item.path]
    if not names:
        return "the document has no array"
    shown = ", ".join(f"`{name[:100]}`" for name in names[:MAX_SHOWN_PATHS])
    more = ", ..." if len(names) > MAX_SHOWN_PATHS else ""
    kind = "arrays at" if arrays else "no array, and objects at"
    return f"the beginning of the document has {kind} {shown}{more}"
