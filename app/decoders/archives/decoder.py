"""The decoder of archives: stores the archive, and reads each member by a chain of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from app.decoders.archives.members import (
    Choice,
    Member,
    choose,
    listed,
    matches,
)
from app.decoders.archives.tar import is_tar, tar_members
from app.decoders.archives.zip import zip_members
from app.decoders.base import Kind, Report, Unpacks, Wanted, begins_with
from app.decoders.spool import Spool
from app.decoders.spreadsheets.workbook import WorkbookDecoder
from app.errors import (
    MemberNotFound,
    RequestError,
    Unavailable,
    UnsupportedMember,
)

if TYPE_CHECKING:
    from app.decoders.chain import Chain

MAX_MEMBERS = 1_000
"""Number of files that are read from an archive."""
MAX_DEPTH = 1
"""Number of archives around a member besides the outermost."""
ODF_TYPE = b"application/vnd.oasis.opendocument."
OFFICE_TYPES = "[content_types].xml"
WORKBOOK_FOLDER = "xl/"
OFFICE_SIGNS = (b"[Content_Types].xml", b"xl/", ODF_TYPE)
SIGN_BYTES = 64 << 10


class ArchiveDecoder(Unpacks):
    """Makes a file of each member, in the order of the archive. A member that cannot be read does
    not affect the others: its file has a report with the error.
    """

    def __init__(self, name: str, list_members: Callable[[Spool], list[Member]]) -> None:
        super().__init__()
        self._name = name
        self._list_members = list_members
        self._spool = Spool()
        self._reports: list[Report] = []
        self._inner: Chain | WorkbookDecoder | None = None
        self.part = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._spool.write(data)
        return iter(())

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        if wanted.depth > MAX_DEPTH:
            raise UnsupportedMember(f"The {self._name} archive is inside two other archives.")
        choice = choose(self._list_members(self._spool), wanted.members, wanted.path)
        self.skipped += choice.skipped
        for member in _checked(choice, wanted):
            for piece in self._file_of(member, wanted):
                if self.part >= MAX_MEMBERS and not wanted.depth:
                    raise MemberNotFound(
                        f"More than {MAX_MEMBERS} files would be read; choose some with `members`."
                    )
                yield piece
        if not self._reports and not wanted.depth:
            raise _nothing_matches(choice, wanted)

    def reports(self) -> Sequence[Report]:
        return self._reports

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()
        self._spool.close()

    def _file_of(self, member: Member, wanted: Wanted) -> Iterator[bytes]:
        """Yield the files of a member; a nested archive and a workbook may have several."""
        from app.decoders.chain import Chain  # it knows all kinds, and so this one

        chain = Chain()
        chain.encoding, chain.or_likely = wanted.encoding, wanted.or_likely
        chain.records, chain.format = wanted.json_records, wanted.format
        self._inner = chain
        name = wanted.path + member.name
        report = Report(self._name, {"member": member.name})
        first = self.part = len(self._reports)
        inside_before = self.inside_bytes
        self.memory_bytes = member.memory_bytes
        yield b""
        try:
            if member.error is not None:
                raise member.error
            for piece in self._pieces_of(member, chain, _for_member(wanted, name)):
                self.inside_bytes = max(self.inside_bytes, inside_before + chain.most_bytes)
                self.max_ratio = max(self.max_ratio, chain.max_ratio)
                self.memory_bytes = member.memory_bytes + chain.memory_bytes
                self.part = first + chain.part
                yield piece
        except _NotChosen:
            return
        except Unavailable:
            raise
        except RequestError as error:
            error.detail = f"{name}: {error.detail}"
            if not wanted.takes_parts:
                raise
            self._reports.append(replace(report, error=error))
        else:
            self._reports += [
                replace(report, inside=tuple(chain.reports(part)))
                for part in range(chain.file_count)
            ]
            self.skipped += chain.skipped
        finally:
            self.memory_bytes = 0
            chain.close()

    def _pieces_of(self, member: Member, chain: Chain, wanted: Wanted) -> Iterator[bytes]:
        """Yield the canonical bytes, and an empty piece for each step, so that the caller can look
        at `inside_bytes`. Raises _NotChosen if only members of an archive can match, and the member
        is none.
        """
        must_be_archive = wanted.members is not None
        for piece in member.pieces():
            self.inside_bytes += len(piece)
            yield b""
            for canonical in chain.feed(piece):
                if canonical and must_be_archive:
                    raise _NotChosen
                yield canonical
        for canonical in chain.finish(wanted):
            if canonical and must_be_archive:
                raise _NotChosen
            yield canonical
        if must_be_archive and not chain.is_archive:
            raise _NotChosen
        if not chain.is_finished:
            yield from chain.finish(wanted, also_heavy=True)


class ZipDecoder(ArchiveDecoder):
    """Reads a zip archive, or a workbook, which is one."""

    def __init__(self) -> None:
        super().__init__("zip", zip_members)
        self._workbook: WorkbookDecoder | None = None

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        if not _is_office(self._spool):
            yield from super().finish(wanted)
            return
        self._inner = self._workbook = WorkbookDecoder(self._spool)
        for piece in self._workbook.finish(wanted):
            self.part = self._workbook.part
            yield piece

    def reports(self) -> Sequence[Report]:
        return super().reports() if self._workbook is None else self._workbook.reports()


class _NotChosen(Exception):
    """The member does not match, and is no archive with members that could."""


def _for_member(wanted: Wanted, name: str) -> Wanted:
    """Return what is wanted of a member. If its name matches, all of its own members are read."""
    patterns = wanted.members
    if patterns is not None and matches(name, patterns):
        patterns = None
    return replace(wanted, members=patterns, depth=wanted.depth + 1, path=f"{name}/")


def _checked(choice: Choice, wanted: Wanted) -> Sequence[Member]:
    """Return the members to read; raises MemberNotFound if there are too many."""
    members = choice.members
    if wanted.takes_parts:
        if len(members) > MAX_MEMBERS:
            raise MemberNotFound(
                f"The archive has {len(members)} files, and at most {MAX_MEMBERS} are read; choose"
                " some with `members`."
            )
        return members
    if wanted.members is not None:
        exact = [m for m in members if matches(wanted.path + m.name, wanted.members)]
        members = exact or members
    if len(members) > 1:
        names = listed([member.name for member in members])
        raise MemberNotFound(
            f"The archive has {len(members)} files: {names}. Choose one with `members`."
        )
    return members


def _nothing_matches(choice: Choice, wanted: Wanted) -> MemberNotFound:
    if wanted.members is None:
        skipped = [skipped.name for skipped in choice.skipped]
        return MemberNotFound(f"The archive has no files to read; skipped: {listed(skipped)}.")
    return MemberNotFound(
        f"No file of the archive matches {wanted.members[:100]!r}; it has {listed(choice.files)}."
    )


def _is_office(spool: Spool) -> bool:
    """Return whether a zip archive is a document of an office program, as its members say; if their
    list cannot be read, as its first bytes say.
    """
    try:
        members = zip_members(spool)
    except RequestError:
        beginning = spool.read_at(0, SIGN_BYTES)
        return any(sign in beginning for sign in OFFICE_SIGNS)
    names = [member.name.lower() for member in members]
    if OFFICE_TYPES in names or any(name.startswith(WORKBOOK_FOLDER) for name in names):
        return True
    types = [member for member in members[:1] if member.name == "mimetype"]
    try:
        return any(next(member.pieces(), b"").startswith(ODF_TYPE) for member in types)
    except RequestError:
        return False


ARCHIVES = (
    Kind(
        "zip",
        begins_with(b"PK\x03\x04", b"PK\x05\x06"),
        codings=(),
        open=ZipDecoder,
        is_compression=False,
        is_heavy=True,
        is_archive=True,
    ),
    Kind(
        "tar",
        is_tar,
        codings=(),
        open=lambda: ArchiveDecoder("tar", tar_members),
        is_compression=False,
        is_heavy=True,
        is_archive=True,
    ),
)
