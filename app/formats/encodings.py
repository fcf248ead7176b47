"""Encodings of text: which one a file has, as far as its first bytes show, and what to do about one
that cannot be read.
"""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata

from app.errors import BinaryContent, UnsupportedEncoding

WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks of text that is decoded before it is stored. That of UTF-32 begins with that of
UTF-16.
"""
UNDECODED_BYTE = b"\xfa"
UNDECODED = UNDECODED_BYTE.decode("utf-8", "surrogateescape")
"""Mark before a byte in hexadecimal that was invalid in the encoding of the received file."""
LOOKED_AT = 4096
CONTROLS = re.compile(r"[\x04-\x08\x0e-\x1a\x7f]")
"""Characters that text does not have. Line ends, tabs, form feeds, escapes and characters that some
use as delimiters are not among them.
"""
HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
CUT_AS_THEY_ARE = ("utf-8", "utf-8-sig", "ascii")
IN_UTF_16 = (
    "The text is in UTF-16 or UTF-32, which is decoded only during the upload; upload it again."
)
CONVERT = "convert the file to UTF-8, as with `iconv -f {name} -t UTF-8`"


def encoding_of(sample: bytes, declared: str | None) -> tuple[str, int]:
    """Return (encoding, length of the byte order marks) of stored text. Programs that put files
    together leave a second mark behind the first.

    Raises UnsupportedEncoding for one that cannot be cut into rows.
    """
    start = 0
    while sample.startswith(codecs.BOM_UTF8, start):
        start += len(codecs.BOM_UTF8)
    if declared is not None:
        return _codec(declared), start
    if wide_encoding(sample):
        raise UnsupportedEncoding(IN_UTF_16)
    return "utf-8", start


def refuse_binary(text: str, *, is_suspect: bool = False) -> None:
    """Raise BinaryContent for text that is binary data. Fewer control characters are enough if
    something else is wrong (`is_suspect`).
    """
    nul, controls = text.count("\0"), len(CONTROLS.findall(text))
    allowed = max(2, len(text) // 40) if is_suspect else max(20, len(text) // 25)
    if nul > max(1, len(text) // 20) or controls > allowed:
        raise BinaryContent(
            f"This is not text: of the first {len(text)} characters, {nul + controls} are NUL or"
            " other control characters."
        )


def hint(body: bytes) -> str:
    """Return what to do about bytes that are invalid in the encoding they were read in."""
    runs = HIGH_BYTES.findall(body)
    if sum(map(len, runs)) >= 4 and all(len(run) % 2 == 0 for run in runs[:-1] or runs):
        convert = CONVERT.format(name="CP949")
        return (
            "they look like two bytes per character (CP949, EUC-JP, GBK, Big5); name the encoding of an"
            f" upload, as in encoding=cp949, or {convert}"
        )
    convert = CONVERT.format(name="SHIFT_JIS")
    return (
        "declare an encoding of one byte per character, as in encoding=cp1252; if it has several,"
        f" {convert}"
    )


def decoded_on_arrival(beginning: bytes, declared: str | None) -> str | None:
    """Return the encoding that an upload is decoded from before it is stored; None if its bytes can
    be cut into rows as they are. Raises UnsupportedEncoding.
    """
    if declared is None:
        return wide_encoding(beginning) or None
    codec = _lookup(declared)
    if codec in ("utf-16", "utf-32"):
        # Without a mark: as the bytes look, else as Windows writes it.
        looks = wide_encoding(beginning)
        return looks if looks.startswith(codec) else f"{codec}-le"
    if codec in CUT_AS_THEY_ARE or _is_cut_by_bytes(codec):
        return None
    if not _is_text_encoding(codec):
        raise UnsupportedEncoding(f"{codec} is not an encoding of text.")
    return codec


def wide_encoding(beginning: bytes) -> str:
    """Return utf-16 or utf-32 with its order for a file that begins so; empty for others."""
    marked = next((name for mark, name in WIDE_MARKS if beginning.startswith(mark)), "")
    return marked or _utf16_without_mark(beginning)


def restored(raw: bytes, encoding: str) -> bytes:
    """Return a record as it was received, before it was decoded from this encoding."""
    first, *others = raw.split(UNDECODED_BYTE)
    parts = [first.decode("utf-8", "replace").encode(encoding, "replace")]
    for other in others:
        parts.append(bytes.fromhex(other[:2].decode()))
        parts.append(other[2:].decode("utf-8", "replace").encode(encoding, "replace"))
    return b"".join(parts)


def shown(raw: bytes, encoding: str) -> dict[str, str | None]:
    """Return a record for JSON: `raw` is its text if the bytes are UTF-8; otherwise `raw_base64` has
    the bytes, and `text` what they say in this encoding.
    """
    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        text = raw.decode(encoding, "replace")
        return {"raw": None, "raw_base64": base64.b64encode(raw).decode(), "text": text}


def _lookup(name: str) -> str:
    """Return the canonical name of an encoding; raises UnsupportedEncoding."""
    try:
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise UnsupportedEncoding(f"There is no encoding named {name[:40]!r}.") from None


def _is_text_encoding(codec: str) -> bool:
    """Whether a codec decodes text piece by piece: Python also calls base64 a codec, and its
    escapes.
    """
    try:
        text = codecs.getincrementaldecoder(codec)("strict").decode("a,b\n".encode(codec), True)
    except (LookupError, TypeError, ValueError, AssertionError, NotImplementedError):
        return False
    return text == "a,b\n" and "escape" not in codec and codec not in ("idna", "punycode")


def _codec(name: str) -> str:
    """Return the canonical name of an encoding of stored text: UTF-8, or one byte a character with
    ASCII inside. Raises UnsupportedEncoding.
    """
    codec = _lookup(name)
    if codec in ("utf-8", "utf-8-sig", "ascii"):
        return "utf-8"
    if not _is_cut_by_bytes(codec):
        convert = CONVERT.format(name=codec)
        raise UnsupportedEncoding(
            f"Files in {codec} cannot be cut into rows safely, because the encoding is not one "
            f"byte per character with ASCII at its core: {convert}."
        )
    return codec


def _is_cut_by_bytes(codec: str) -> bool:
    """Whether a codec has one byte a character, with ASCII inside."""
    try:
        # Python's escape codecs make one character of several bytes.
        ascii_inside = "escape" not in codec and bytes(range(128)).decode(codec) == "".join(
            map(chr, range(128))
        )
        single_byte = all(len(bytes([b]).decode(codec, "replace")) == 1 for b in range(128, 256))
        # Encodings that change their state by escapes have no such bytes at all.
        single_byte &= any(bytes([b]).decode(codec, "ignore") for b in range(128, 256))
        pairs = len(bytes(range(128, 256)).decode(codec, "replace")) == 128
    except (LookupError, ValueError, TypeError):
        ascii_inside = single_byte = pairs = False
    return ascii_inside and single_byte and pairs


def _utf16_without_mark(sample: bytes) -> str:
    """Return utf-16 with its order if the sample is such text without a mark; else an empty text.
    UTF-16 text has line ends, delimiters and spaces with a NUL in each, always in the same one of
    their two bytes, and all of it is text; nothing else is like that.
    """
    head = sample[:LOOKED_AT]
    if len(head) < 4:
        return ""
    first, second = head[0::2].count(0), head[1::2].count(0)
    if min(first, second) > max(first, second) // 10:
        return ""
    order = "utf-16-le" if second > first else "utf-16-be"
    if max(first, second) > 0.7 * len(head) / 2:
        return order
    if max(first, second) < 2 or (_is_utf8(head) and max(first, second) <= len(head) // 20):
        return ""
    text = head[: len(head) // 2 * 2].decode(order, "replace")
    text = text[:-1] if text.endswith("\ufffd") else text  # half of a pair, where the sample is cut
    return order if re.search(r"[\r\n]", text) and not any(map(_is_no_text, text)) else ""


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _is_no_text(character: str) -> bool:
    return character == "\ufffd" or (
        character not in "\t\r\n\f\v\ufeff"
        and unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs")
    )
