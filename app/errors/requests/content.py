"""What is in an uploaded file."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class BadHeader(RequestError):
    """The header of the file cannot be used."""

    status = 422
    code = "bad_header"
    remedy = "Correct the header, or give skip_rows, header_rows or columns."


class BinaryContent(RequestError):
    """The content is binary, not text."""

    status = 415
    code = "binary_content"
    remedy = (
        "Export the data as CSV, JSON or JSON Lines; for UTF-16 without a byte order mark give"
        " encoding=utf-16-le."
    )


class ContentMismatch(RequestError):
    """The content is not CSV or JSON."""

    status = 415
    code = "content_mismatch"
    remedy = "Export the data as CSV, JSON or JSON Lines and upload that."


class CorruptGzip(RequestError):
    """The gzip data is damaged or incomplete."""

    status = 422
    code = "corrupt_gzip"
    remedy = "Compress the file again and upload it again; nothing was kept."


class EmptyFile(RequestError):
    """The file holds no data."""

    status = 422
    code = "empty_file"
    remedy = "Check the export that made it."


class JsonNotRows(RequestError):
    """The JSON is not an array of objects, an object, or JSON Lines."""

    status = 422
    code = "json_not_rows"
    remedy = "Wrap the values in objects, one per row."


class MissingColumn(RequestError):
    """The file lacks a column that the processor needs."""

    status = 422
    code = "missing_column"
    remedy = "Rename the column, or name the columns with `columns`."


class NotRows(RequestError):
    """The file is not one that jobs read rows from."""

    status = 415
    code = "not_rows"
    remedy = "Jobs read CSV, JSON and JSON Lines; make a transform with another output_format."


class TooManyColumns(RequestError):
    """The file has too many columns."""

    status = 422
    code = "too_many_columns"
    remedy = "Check the delimiter; at most 16 384 columns are read."


class UnsupportedEncoding(InvalidParameter):
    """This text encoding is not supported."""

    status = 422
    code = "unsupported_encoding"
    remedy = "Use utf-8, utf-16 or a single-byte encoding such as cp1252 or latin-1."
