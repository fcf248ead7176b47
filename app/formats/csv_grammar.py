"""The grammar of a CSV dialect (see `app.formats.csv`) as regular expressions over the scanned
bytes.

No quantifier gives back what it took, so no text takes more than linear time.
"""

from __future__ import annotations

import re


def line_end(newline: str) -> bytes:
    return {"lf": rb"\r?\n", "crlf": rb"\r\n", "cr": rb"\r", "any": rb"(?:\r\n|\n|\r)"}[newline]


def cell(
    delimiter: bytes,
    quote: bytes,
    escape: bytes,
    newline: str,
    *,
    spaces: bool = False,
    groups: bool = False,
) -> bytes:
    """Return the expression of one cell: quoted and properly closed, or anything up to the next
    delimiter or line end. With `spaces` there may be some around the quotes.
    """
    d, n = re.escape(delimiter), line_end(newline)
    first = delimiter[:1] if delimiter.isascii() else delimiter  # never a part of a character
    boring = b"[^" + re.escape(first) + re.escape(escape[:1]) + rb"\r\n]++"
    escaped = re.escape(escape) + rb"[\s\S]|" if escape else b""
    plain = rb"(?:" + boring + b"|" + escaped + rb"(?!" + n + b"|" + d + rb")[\s\S])*+"
    if groups:
        plain = b"(?P<plain>" + plain + b")"
    if not quote:
        return b"(?P<quoted>(?!))?" + plain if groups else plain
    content = _quoted_content(quote, escape)
    if groups:
        content = b"(?P<quoted>" + content + b")"
    q, around = re.escape(quote), _around(spaces)
    return (
        rb"(?:"
        + around
        + q
        + content
        + q
        + around
        + b"(?="
        + d
        + b"|"
        + n
        + rb"|\Z)|"
        + plain
        + b")"
    )


def _around(spaces: bool) -> bytes:
    return b" *+" if spaces else b""


def _quoted_content(quote: bytes, escape: bytes) -> bytes:
    q, e = re.escape(quote), re.escape(escape)
    inner = b"[^" + q + e + b"]*+"
    pair = q + q + (b"|" + e + rb"[\s\S]" if escape else b"")
    return b"(?>" + inner + b"(?:(?:" + pair + b")" + inner + b")*+)"


def unclosed(quote: bytes, escape: bytes) -> bytes:
    """Return the expression of a quoted cell that ends with the text, without its quote."""
    return (
        re.escape(quote)
        + _quoted_content(quote, escape)
        + re.escape(escape)
        + (b"?" if escape else b"")
        + rb"\Z"
    )


def undecided(
    delimiter: bytes, quote: bytes, escape: bytes, newline: str, *, spaces: bool = False
) -> bytes:
    """Return the expression of a quoted cell that ends with the text, before its quote or before
    all that must follow its quote.
    """
    begun = [re.escape(delimiter[:length]) for length in range(1, len(delimiter))]
    begun += [rb"\r"] if newline in ("lf", "crlf") else []
    closed = re.escape(quote) + _quoted_content(quote, escape) + re.escape(quote) + _around(spaces)
    follows = closed + b"(?:" + b"|".join(begun) + rb")\Z"
    return _around(spaces) + b"(?:" + unclosed(quote, escape) + b"|" + follows + b")"


def record(
    delimiter: bytes, quote: bytes, escape: bytes, newline: str, *, spaces: bool = False
) -> bytes:
    """Return the expression of cells between delimiters, up to the line end."""
    one = cell(delimiter, quote, escape, newline, spaces=spaces)
    return one + b"(?:" + re.escape(delimiter) + one + b")*+"
