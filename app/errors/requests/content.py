"""Errors in the content of an uploaded file."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class BadHeader(RequestError):
    """Unusable header row."""

    status = 422
    code = "bad_header"
    remedy = "Correct the header, or give skip_rows, header_rows or columns."


class BinaryContent(RequestError):
    """Binary content instead of text."""

    status = 415
    code = "binary_content"
    remedy = (
        "Export the data as CSV, JSON or JSON Lines; for UTF-16 without a byte order mark, set"
        " encoding=utf-16-le."
    )


class ContentMismatch(RequestError):
    """Content is not CSV or JSON."""

    status = 415
    code = "content_mismatch"
    remedy = "Export the data as CSV, JSON or JSON Lines and upload that."


class CorruptArchive(RequestError):
    """Damaged or incomplete archive, or member of an archive."""

    status = 422
    code = "corrupt_archive"
    remedy = "Make the archive again and upload it again."


class CorruptCompression(RequestError):
    """Damaged or incomplete compressed data."""

    status = 422
    code = "corrupt_compression"
    remedy = "Compress the file again and upload it again; nothing was stored."


class CorruptGzip(RequestError):
    """Damaged or incomplete gzip data."""

    status = 422
    code = "corrupt_gzip"
    remedy = "Compress the file again and upload it again; nothing was stored."


class CorruptDataFile(RequestError):
    """Damaged Parquet, Arrow or ORC file."""

    status = 422
    code = "corrupt_data_file"
    remedy = "Write the file again and upload it again; nothing was stored."


class CorruptWorkbook(RequestError):
    """Damaged workbook."""

    status = 422
    code = "corrupt_workbook"
    remedy = "Open it in a spreadsheet program, save it again and upload that; nothing was stored."


class CorruptXml(RequestError):
    """XML document that is not well-formed."""

    status = 422
    code = "corrupt_xml"
    remedy = (
        "Correct the document at the place in `detail` and upload it again; nothing was stored."
    )


class DataFileTooLarge(RequestError):
    """Parquet, Arrow or ORC file needs too much memory or time."""

    status = 413
    code = "data_file_too_large"
    remedy = "Raise SPREADSHEET_MEMORY_MB, or write smaller row groups."


class EncryptedDataFile(RequestError):
    """Encrypted Parquet or ORC file."""

    status = 422
    code = "encrypted_data_file"
    remedy = "Write it without encryption."


class EncryptedMember(RequestError):
    """Member of an archive protected by a password."""

    status = 422
    code = "encrypted_member"
    remedy = "Make the archive without a password."


class EncryptedWorkbook(RequestError):
    """Workbook protected by a password."""

    status = 422
    code = "encrypted_workbook"
    remedy = "Save it without a password, or export the sheet as CSV."


class EmptyFile(RequestError):
    """File contains no data."""

    status = 422
    code = "empty_file"
    remedy = "Check the export that produced it."


class JsonNotRows(RequestError):
    """JSON is not an array of objects, an object, or JSON Lines."""

    status = 422
    code = "json_not_rows"
    remedy = "Wrap the values in objects, one per row."


class MemberNotFound(InvalidParameter):
    """No such file in the archive, or several to choose from."""

    status = 422
    code = "member_not_found"
    remedy = "Set `members` to names or patterns of files in the archive, such as `*.csv`."


class MissingColumn(RequestError):
    """Missing column."""

    status = 422
    code = "missing_column"
    remedy = "Rename a column to the name in `detail`, or name the columns with `columns`."


class NotRows(RequestError):
    """File format cannot be read as rows."""

    status = 415
    code = "not_rows"
    remedy = (
        "Use a CSV, JSON or JSON Lines file; a transform can write one with another output_format."
    )


class RecordsNotFound(InvalidParameter):
    """No records at this path of the document."""

    status = 422
    code = "records_not_found"
    remedy = "Set `records` to the path of an array in the document, such as data.items."


class SheetNotFound(InvalidParameter):
    """No such sheet in the workbook, or several to choose from."""

    status = 422
    code = "sheet_not_found"
    remedy = "Set `sheet` to the name of a sheet, or to its number from 1."


class CellTooLong(RequestError):
    """Cell too long for a worksheet."""

    status = 422
    code = "cell_too_long"
    remedy = "Download CSV, JSON Lines, Parquet or Arrow."


class TooManyRows(RequestError):
    """Too many rows for a worksheet."""

    status = 422
    code = "too_many_rows"
    remedy = "Download CSV, JSON Lines, Parquet or Arrow."


class TooManyColumns(RequestError):
    """Too many columns."""

    status = 422
    code = "too_many_columns"
    remedy = "Check the delimiter; at most 16 384 columns are read."


class UnsafeMember(RequestError):
    """Member name that is ambiguous or points outside its archive."""

    status = 422
    code = "unsafe_member"
    remedy = "Make the archive again with relative names, each of them once."


class UnsupportedEncoding(InvalidParameter):
    """Text encoding not supported."""

    status = 422
    code = "unsupported_encoding"
    remedy = "Use the Python name of an encoding, such as utf-8, cp1252 or shift_jis."


class UnsupportedMember(RequestError):
    """Archive, or member of an archive, in a form that is not supported."""

    status = 422
    code = "unsupported_member"
    remedy = "Make the archive with DEFLATE, without archives inside archives."


class WorkbookTooLarge(RequestError):
    """Workbook needs too much memory or time."""

    status = 413
    code = "workbook_too_large"
    remedy = "Raise SPREADSHEET_MEMORY_MB, or export the sheet as CSV."


class XmlTooLarge(RequestError):
    """XML element too large or too deep, or document that needs too much memory or time."""

    status = 413
    code = "xml_too_large"
    remedy = "Set `records` to smaller elements, or raise SPREADSHEET_MEMORY_MB."
