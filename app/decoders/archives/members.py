"""Members of an archive: their names, and which of them are read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from app.decoders.base import Skipped
from app.errors import RequestError, UnsafeMember

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
DRIVE = re.compile(r"[A-Za-z]:")
MAC_FOLDER = "__MACOSX"
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "_success"})
ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst")
ARCHIVE_IN_NAME = re.compile(r"\.tar\.[a-z0-9]{2,4}$")


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of an archive."""

    name: str
    """Path in the archive with `/` between folders, without control characters."""
    size: int
    """Size in bytes as the archive declares it."""
    pieces: Callable[[], Iterator[bytes]]
    """Yields the bytes, checked to their end. Raises a RequestError for damaged ones."""
    is_folder: bool = False
    not_a_file: str = ""
    """What it is if it is neither a file nor a folder, such as `symbolic link`."""
    error: RequestError | None = None
    """Why it cannot be read."""
    memory_bytes: int = 0
    """Memory in bytes that its decompressor may need."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The members to read in the order of the archive, and those that are skipped."""

    members: list[Member]
    skipped: list[Skipped]
    files: list[str]
    """Names of all files that could be chosen."""


def choose(members: Iterable[Member], patterns: str | None, path: str) -> Choice:
    """Choose the files that match one of the patterns, separated by commas; all without patterns.
    `path` is that of the archive in the upload, with a `/` at the end, or empty.

    Archives in the archive are chosen if they match, or if their members may.
    """
    choice = Choice([], [], [])
    for member in _with_unique_names(list(members)):
        name = path + member.name
        if member.is_folder:
            continue
        why = member.not_a_file or _why_hidden(member.name)
        if why:
            choice.skipped.append(Skipped(name, why))
            continue
        choice.files.append(name)
        if patterns is None or matches(name, patterns) or is_named_archive(member.name):
            choice.members.append(member)
    return choice


def matches(name: str, patterns: str) -> bool:
    """Return whether the path or its last part matches one of the patterns, in any case of
    letters.
    """
    name = name.casefold()
    last = name.rpartition("/")[2]
    return any(
        fnmatchcase(name, pattern) or fnmatchcase(last, pattern)
        for pattern in (part.strip().casefold() for part in patterns.split(","))
        if pattern
    )


def is_named_archive(name: str) -> bool:
    """Return whether the name is that of an archive. The content may still be something else."""
    name = name.lower()
    return name.endswith(ARCHIVE_ENDINGS) or ARCHIVE_IN_NAME.search(name) is not None


def clean_name(name: str) -> str:
    """Return the path as it is shown: with `/`, without control characters and `./` before it."""
    name = CONTROL.sub("_", name.replace("\\", "/"))
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def name_error(name: str) -> RequestError | None:
    """Return the error for a clean name that points out of the archive, or is empty."""
    if not name:
        return UnsafeMember("It has no name.")
    if name.startswith("/") or DRIVE.match(name) or ".." in name.split("/"):
        return UnsafeMember("Its name points outside the archive.")
    return None


def decoded_name(raw: bytes, *, is_utf8: bool, fallback: str) -> str:
    """Return the name in UTF-8 if it is marked so or valid, in the fallback encoding otherwise."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8" if is_utf8 else fallback, "replace")


def listed(names: Sequence[str]) -> str:
    """Return some of the names for a message."""
    shown = ", ".join(f"`{name[-60:]}`" for name in names[:20])
    if not names:
        return "none"
    return shown + (", ..." if len(names) > 20 else "")


def _with_unique_names(members: list[Member]) -> Iterator[Member]:
    """Yield the members; files with the same name get an error, since programs do not agree which
    of them counts.
    """
    counts = Counter(member.name for member in members if not member.is_folder)
    for member in members:
        count = counts[member.name]
        if count > 1 and not member.is_folder and not member.not_a_file:
            error = UnsafeMember(f"The archive has {count} members with this name.")
            yield replace(member, error=member.error or error)
        else:
            yield member


def _why_hidden(name: str) -> str:
    *folders, last = name.split("/")
    if MAC_FOLDER in folders or last.startswith("._"):
        return "file of macOS"
    if last.lower() in SYSTEM_FILES:
        return "file of a system"
    is_hidden = any(part.startswith(".") and part not in (".", "..") for part in (*folders, last))
    return "hidden file" if is_hidden else ""
