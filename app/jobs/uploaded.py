"""Result of a received upload: the files that its bytes are stored as, how each is read, and the
keys by which the upload is found again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from app.db.rows import JobRow, NewFile, NewJob
from app.decoders.base import Report
from app.decoders.columnar.decoder import COLUMNAR_NAMES
from app.decoders.places import Places, places_to_json
from app.decoders.registry import plain_name
from app.errors import (
    ContentMismatch,
    EmptyFile,
    InvalidParameter,
    RequestError,
    UnsupportedEncoding,
)
from app.formats.csv import CsvDialect
from app.formats.detect import SAMPLE_BYTES, Declared, detect
from app.formats.encodings import decoded_on_arrival
from app.formats.registry import Dialect, reading_of, to_json
from app.jobs.file_jobs import PlannedFile
from app.sources.base import OBJECTS
from app.sources.places import Stored
from app.sources.upload import Part, Received

if TYPE_CHECKING:
    from app.jobs.submit import Submission

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_SKIPPED = 20
"""Number of skipped members that are named."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file of an upload is read, or why it cannot be read."""

    part: Part
    dialect: Dialect
    error: RequestError | None = None


def reading(submission: Submission, part: Part) -> Reading:
    """Detect how a file of the upload is read. Blocking."""
    error = part.error
    if error is None:
        try:
            return Reading(replace(part, sample=b""), _detect(submission, part))
        except RequestError as raised:
            error = raised
            if member := _member(part.reports):
                error.detail = f"{member}: {error.detail}"
    return Reading(replace(part, sample=b""), CsvDialect(), error)


def check_readings(readings: Sequence[Reading]) -> None:
    """Raise the RequestError of the first file if no file of the upload can be read."""
    errors = [reading.error for reading in readings if reading.error is not None]
    if len(errors) == len(readings):
        raise errors[0]


def _detect(submission: Submission, part: Part) -> Dialect:
    if not part.stored_bytes:
        raise EmptyFile("The file is empty.")
    declared = submission.declared
    _check_format(declared.format, part)
    for report in part.reports:
        declared = replace(declared, **report.declared)
    encoding = submission.declared.encoding
    if encoding is not None and _comes_late(part, encoding):
        raise UnsupportedEncoding(
            f"The form declares encoding={encoding} after the file; declare it before the file, "
            "or in the query."
        )
    if _records_come_late(part, submission.declared):
        raise InvalidParameter(
            "The form declares the records after the file; declare `records`, `record_key` and"
            " `format` before the file, or in the query."
        )
    member = _member(part.reports)
    dialect = detect(
        part.sample,
        complete=part.stored_bytes <= SAMPLE_BYTES,
        declared=declared,
        filename=plain_name(
            member or submission.filename, [report.decoder for report in part.reports]
        ),
        media_type="" if member else submission.media_type,
    )
    return dialect.of_size(part.stored_bytes)


def _check_format(declared: str | None, part: Part) -> None:
    """Raises ContentMismatch if a declared format is not that of the bytes, where one of the two is
    a columnar file.
    """
    columnar = next((r.decoder for r in part.reports if r.decoder in COLUMNAR_NAMES), None)
    if declared in (None, columnar) or (columnar is None and declared not in COLUMNAR_NAMES):
        return
    content = f"a file of {columnar}" if columnar else f"not a file of {declared}"
    raise ContentMismatch(f"The upload declares format={declared}, but the content is {content}.")


def _comes_late(part: Part, encoding: str) -> bool:
    """Return whether the text was decoded on arrival as if no encoding had been declared, or should
    have been decoded.
    """
    reports = [report for report in part.reports if "encoding" in report.facts]
    if reports:
        return "confidence" in reports[0].facts
    is_text = not any("sheet" in report.facts for report in part.reports)
    return is_text and decoded_on_arrival(part.sample[:4], encoding) is not None


def _records_come_late(part: Part, declared: Declared) -> bool:
    """Return whether records inside a document were declared when its bytes had passed."""
    wants_records = declared.records is not None or declared.record_key is not None
    if not wants_records and declared.format not in ("geojson", "xml"):
        return False
    return not any("records" in report.facts for report in part.reports)


def new_files(
    submission: Submission,
    received: Received,
    readings: Sequence[Reading],
    stored: Sequence[Stored | None],
    content_key: str,
) -> list[NewFile]:
    """Return the rows of the stored files. One of several is named by its member or sheet, and
    cannot be found as the upload.
    """
    is_part = len(readings) > 1
    return [
        _new_file(submission, received, reading, at, content_key, is_part=is_part)
        for reading, at in zip(readings, stored, strict=True)
    ]


def _new_file(
    submission: Submission,
    received: Received,
    reading: Reading,
    stored: Stored | None,
    content_key: str,
    *,
    is_part: bool,
) -> NewFile:
    part, dialect = reading.part, reading.dialect
    file = NewFile(
        id=part.file_id,
        owner=submission.owner,
        filename=submission.filename,
        media_type=submission.media_type,
        format=dialect.format_name,
        encoding=dialect.encoding,
        dialect=to_json(dialect),
        size_bytes=received.size_bytes,
        stored_bytes=part.stored_bytes,
        sha256=received.sha256,
        crc32=part.crc32,
        content_key=content_key,
        dedup_key=None if submission.on_duplicate == "new" else content_key,
        storage_uri=None if stored is None else stored.uri,
        etag=None if stored is None else stored.etag,
        decoding=_decoding(part.reports, received, is_part=is_part) or None,
        places=places_to_json(_places(part.reports)),
    )
    if not is_part:
        return file
    inside = "#".join(filter(None, (_member(part.reports), _sheet(part.reports))))
    key = hashlib.sha256(f"{content_key} {inside}".encode()).hexdigest()
    shown = CONTROL.sub("_", inside)[-100:]
    name = f"{submission.filename[:150]}#{shown}"
    return structs.replace(file, filename=name, content_key=key, dedup_key=None)


def whole_file(submission: Submission, received: Received, content_key: str) -> NewFile:
    """Return the file that stands for an upload of several files, and has no bytes of its own."""
    dialect = CsvDialect()
    return NewFile(
        owner=submission.owner,
        filename=submission.filename,
        media_type=submission.media_type,
        format=OBJECTS,
        encoding=dialect.encoding,
        dialect=to_json(dialect),
        size_bytes=received.size_bytes,
        stored_bytes=sum(part.stored_bytes for part in received.parts),
        sha256=received.sha256,
        content_key=content_key,
        dedup_key=None if submission.on_duplicate == "new" else content_key,
        decoding=_whole_decoding(received) or None,
    )


def _member(reports: Sequence[Report]) -> str:
    """Return the path of the file in the archives of the upload, or an empty text."""
    return "/".join(report.facts["member"] for report in reports if "member" in report.facts)


def _sheet(reports: Sequence[Report]) -> str:
    return next((report.facts["sheet"] for report in reports if "sheet" in report.facts), "")


def _decoding(
    reports: Sequence[Report], received: Received, *, is_part: bool
) -> list[dict[str, Any]]:
    """Return what the decoders did. What an archive has besides is shown with the upload, not with
    each part.
    """
    steps = [report.shown() for report in reports]
    if not is_part:
        for step in steps[: _archive_place(reports) + 1]:
            if "member" in step:
                step |= _shown_skipped(received)
    return steps


def _whole_decoding(received: Received) -> list[dict[str, Any]]:
    """Return what the decoders did up to the archive that made several files; nothing of a workbook,
    whose sheets show it.
    """
    reports = received.parts[0].reports
    place = _archive_place(reports)
    if place < 0:
        return []
    archive = {"decoder": reports[place].decoder, "files": len(received.parts)}
    steps = [report.shown() for report in reports[:place]]
    return [*steps, archive | _shown_skipped(received)]


def _archive_place(reports: Sequence[Report]) -> int:
    """Return the index of the report of the outermost archive, or -1."""
    return next((place for place, report in enumerate(reports) if "member" in report.facts), -1)


def _shown_skipped(received: Received) -> dict[str, Any]:
    skipped = received.skipped
    if not skipped:
        return {}
    shown = [{"name": one.name[-255:], "why": one.why} for one in skipped[:MAX_SKIPPED]]
    return {"skipped": shown, "skipped_count": len(skipped)}


def errors(planned: Sequence[PlannedFile[NewFile]], parts: Sequence[NewJob]) -> list[Any]:
    """Return why parts of the upload failed before they could start."""
    return [
        {
            "job_id": str(job.id),
            "filename": part.file.filename,
            "code": part.error.code,
            "detail": part.error.detail,
        }
        for part, job in zip(planned, parts, strict=True)
        if part.error is not None
    ]


def _places(reports: Sequence[Report]) -> Places | None:
    """Return where rows come from, as the last decoder that knows says."""
    return next((report.places for report in reversed(reports) if report.places), None)


def answer(file: NewFile | JobRow, job: NewJob | JobRow, number: int) -> dict[str, Any]:
    """Return the response to the upload."""
    return {
        "file_id": str(job.file_id),
        "job_id": str(job.id),
        "number": number,
        **({"public_id": job.public_id} if job.public_id else {}),
        "status": str(job.status),
        "filename": file.filename,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "format": file.format,
        "dialect": file.dialect,
        "decoding": file.decoding or [],
        "columns": job.columns,
        "processor": job.processor,
        "priority": job.priority,
        "duplicate": False,
    }


def fingerprint(submission: Submission, received: Received) -> str:
    """Return the same for the same request with the same bytes, to compare under an
    Idempotency-Key.
    """
    declared = msgspec.to_builtins(submission.declared)
    # Keeps the fingerprints of requests that were stored before these options existed or could be
    # absent.
    for added in (
        "skip_initial_space",
        "sheet",
        "widths",
        "members",
        "records",
        "record_key",
        "flatten",
    ):
        if declared[added] is None:
            del declared[added]
    declared["skip_footer"] = declared["skip_footer"] or 0
    for member in ("cell_faults", "decoded_from", "located"):  # these follow from the bytes
        declared.pop(member, None)
    same = [
        received.sha256,
        submission.processor,
        submission.options,
        declared,
        submission.chunk_size,
        submission.priority,
    ]
    if submission.max_rejects:
        same.append(submission.max_rejects)
    if submission.labels:
        same.append(["labels", *submission.labels])
    return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()


def content_key(submission: Submission, received: Received, readings: Sequence[Reading]) -> str:
    """Return the same for the same bytes, read and processed in the same way."""
    read_as = [reading_of(reading.dialect) for reading in readings]
    same: list[Any] = [
        received.sha256,
        read_as[0] if len(read_as) == 1 else read_as,
        submission.processor,
        submission.options,
    ]
    reports = [report for reading in readings for report in reading.part.reports]
    if sheets := [report.facts["sheet"] for report in reports if "sheet" in report.facts]:
        same.append(sheets)
    if members := [_member(reading.part.reports) for reading in readings]:
        if any(members):
            same.append(members)
    if submission.max_rejects:
        same.append(submission.max_rejects)
    return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()
