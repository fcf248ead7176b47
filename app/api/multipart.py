"""Streaming parser of multipart/form-data: yields the bytes of the file as they arrive and keeps
the small form fields. Everything is bounded.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.parameters import given_twice
from app.errors import (
    MalformedMultipart,
    MissingFilePart,
    MultipartLimits,
    TooManyFiles,
    TruncatedMultipart,
    UnsupportedTransferEncoding,
)

MAX_FIELDS, MAX_FIELD_BYTES, MAX_HEADERS, MAX_HEADER_BYTES, MAX_EPILOGUE_BYTES = (
    30,
    8 << 10,
    20,
    8 << 10,
    64 << 10,
)


class MultipartBody:
    """A body with one part named `file`. Fields and the headers of the part are known once the
    first bytes have been yielded.
    """

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 256:
            raise MalformedMultipart("The Content-Type header has no boundary of 1 to 256 bytes.")
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.media_type = ""
        self._has_file = False
        self._ended = False
        self._epilogue_bytes = 0
        self._pieces: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._header_count = 0
        self._header_name = self._header_value = b""
        self._field: str | None = None
        self._field_value = b""
        self._in_file = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_end": self._on_end,
            },
            max_header_count=sys.maxsize,  # bounded below, with its own error code
            max_header_size=sys.maxsize,
        )

    async def read(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes of the file. Raises a RequestError unless the body has exactly one
        complete file and some fields.
        """
        async for data in stream:
            if not data:
                continue
            if self._ended:
                self._epilogue_bytes += len(data)
                if self._epilogue_bytes > MAX_EPILOGUE_BYTES:
                    raise MalformedMultipart("The body continues after its closing boundary.")
                continue
            try:
                self._parser.write(data)
            except MultipartParseError as error:
                raise MalformedMultipart(f"The multipart body is malformed: {error}.") from None
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
        if not self._ended:
            raise TruncatedMultipart
        if not self._has_file:
            raise MissingFilePart

    def _on_part_begin(self) -> None:
        self._headers, self._field, self._field_value, self._in_file = {}, None, b"", False
        self._header_count = 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._bound_header()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._bound_header()

    def _bound_header(self) -> None:
        if (
            len(self._header_name) + len(self._header_value) > MAX_HEADER_BYTES
            or self._header_count >= MAX_HEADERS
        ):
            raise MultipartLimits

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_count += 1
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").strip().lower()
        if encoding not in (b"binary", b"8bit", b"7bit"):
            raise UnsupportedTransferEncoding(
                "A part has a Content-Transfer-Encoding that changes its bytes."
            )
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if disposition != b"form-data" or not name:
            raise MalformedMultipart("A part has no name.")
        if name == "file":
            if self._has_file:
                raise TooManyFiles
            self._has_file = self._in_file = True
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
            self.media_type = self._headers.get(b"content-type", b"").decode("latin-1")
        elif b"filename" in options:
            text = "A file is sent in a part that is not named `file`."
            raise TooManyFiles(text) if self._has_file else MissingFilePart(text)
        else:
            if name in self.fields:
                raise given_twice("form", name)
            if len(self.fields) >= MAX_FIELDS:
                raise MultipartLimits
            self._field = name

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])
            return
        self._field_value += data[start:end]
        if len(self._field_value) > MAX_FIELD_BYTES:
            raise MultipartLimits

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.fields[self._field] = self._field_value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._ended = True
