"""Whatever way bytes come in, and in whatever pieces: what is decoded is what was encoded."""

from __future__ import annotations

import gzip
import zlib

import pytest

from app.decoders.base import Kind
from app.decoders.registry import KINDS, by_coding, by_content
from app.errors import CorruptGzip, RequestError

TEXT = b"".join(b"%d,\xc3\xa9\n" % n for n in range(20_000))
ENCODED = {"gzip": gzip.compress(TEXT[:100_000]) + gzip.compress(TEXT[100_000:]) + bytes(512)}
"""By kind: the text, in as many members as the kind allows, with the padding that it allows."""


def decoded(kind: Kind, data: bytes, size: int) -> bytes:
    decoder = kind.open()
    pieces = [
        piece
        for start in range(0, len(data), size)
        for piece in decoder.feed(data[start : start + size])
    ]
    return b"".join([*pieces, *decoder.finish()])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_pieces_of_any_size_give_the_same_bytes(kind: Kind, size: int) -> None:
    assert decoded(kind, ENCODED[kind.name], size) == TEXT


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_known_by_its_beginning_and_its_codings(kind: Kind) -> None:
    assert by_content(ENCODED[kind.name]) is kind
    assert [by_coding(coding) for coding in kind.codings] == [kind] * len(kind.codings)
    assert by_content(TEXT) is None
    assert by_coding("br") is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_cut_off_is_refused(kind: Kind) -> None:
    whole = ENCODED[kind.name].rstrip(b"\0")
    for end in (4, len(whole) // 3, len(whole) - 1):
        with pytest.raises(RequestError):
            decoded(kind, whole[:end], 4096)


def test_damaged_gzip_is_refused_and_a_bomb_comes_in_bounded_pieces() -> None:
    broken = bytearray(gzip.compress(TEXT))
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(CorruptGzip):
        decoded(KINDS[0], bytes(broken), 4096)
    packed = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packed.compress(bytes(1 << 20)) for _ in range(64)) + packed.flush()
    sizes = [len(piece) for piece in KINDS[0].open().feed(bomb)]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 4 << 20
