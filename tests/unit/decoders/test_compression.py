"""Whatever way bytes come in, and in whatever pieces: what is decoded is what was encoded."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard

from app.decoders.base import Kind, Wanted
from app.decoders.chain import Chain
from app.decoders.compression import COMPRESSIONS as KINDS
from app.decoders.registry import by_coding, by_content
from app.errors import ContentMismatch, CorruptCompression, CorruptGzip, RequestError

TEXT = b"".join(b"%d,\xc3\xa9\n" % n for n in range(4_000))
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
    "zlib": zlib.compress,
}
PADDING = {"gzip": bytes(512), "xz": bytes(8)}
"""That programs may put behind the last member."""
ENCODED = {
    name: compress(TEXT[:10_000]) + compress(TEXT[10_000:]) + PADDING.get(name, b"")
    for name, compress in COMPRESS.items()
}
"""By kind: the text in two members."""


def decoded(kind: Kind, data: bytes, size: int) -> bytes:
    decoder = kind.open()
    pieces = [
        piece
        for start in range(0, len(data), size)
        for piece in decoder.feed(data[start : start + size])
    ]
    return b"".join([*pieces, *decoder.finish(Wanted())])


def chained(data: bytes, size: int = 1 << 16, declared: Kind | None = None) -> tuple[bytes, Chain]:
    chain = Chain(declared)
    pieces = [
        piece
        for start in range(0, len(data), size)
        for piece in chain.feed(data[start : start + size])
    ]
    return b"".join([*pieces, *chain.finish(Wanted())]), chain


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_pieces_of_any_size_give_the_same_bytes(kind: Kind, size: int) -> None:
    assert decoded(kind, ENCODED[kind.name], size) == TEXT


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_compression_is_recognised_by_its_first_bytes_and_its_content_codings(kind: Kind) -> None:
    assert by_content(ENCODED[kind.name]) is kind
    assert [by_coding(coding) for coding in kind.codings] == [kind] * len(kind.codings)
    assert by_content(TEXT) is None
    assert by_coding("br") is None


@pytest.mark.parametrize(
    "text", [b"x^2,y\n1,2\n", b"x^", b"x\x01\n", "x\u0690,y\n".encode(), b"BZh9,b\n"]
)
def test_text_that_begins_like_compressed_data_is_text(text: bytes) -> None:
    assert by_content(text * 1000) is None
    assert by_content(text) is None


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("size", [1, 5, 1 << 16])
def test_a_chain_detects_the_compression(name: str, size: int) -> None:
    for text in (TEXT, TEXT[:100], b""):
        result, chain = chained(COMPRESS[name](text), size)
        assert result == text
        assert [report.shown() for report in chain.reports(0)] == [{"decoder": name}]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_compressed_data_inside_compressed_data_is_refused(kind: Kind) -> None:
    with pytest.raises(ContentMismatch, match=f"{kind.name} inside zstd"):
        chained(COMPRESS["zstd"](ENCODED[kind.name]))
    with pytest.raises(ContentMismatch, match=f"{kind.name} inside gzip"):
        chained(COMPRESS["gzip"](ENCODED[kind.name]), declared=by_coding("gzip"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_truncated_data_is_refused(kind: Kind) -> None:
    whole = ENCODED[kind.name].rstrip(b"\0")
    for end in (4, len(whole) // 3, len(whole) - 1):
        with pytest.raises(RequestError):
            decoded(kind, whole[:end], 4096)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damaged_data_is_refused_or_decodes_correctly(kind: Kind) -> None:
    dice = random.Random(18)
    refusal = CorruptGzip if kind.name == "gzip" else CorruptCompression
    whole = COMPRESS[kind.name](TEXT)
    refused = 0
    for _ in range(60):
        broken = bytearray(whole)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        try:
            assert decoded(kind, bytes(broken), 4096) == TEXT
        except refusal:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("name", COMPRESS)
def test_a_bomb_is_decoded_in_bounded_pieces(name: str) -> None:
    bomb = COMPRESS[name](bytes(64 << 20))
    kind = next(kind for kind in KINDS if kind.name == name)
    sizes = [len(piece) for piece in kind.open().feed(bomb)]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 16 << 20


def test_a_frame_that_needs_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packed.compress(TEXT) + packed.flush()
    with pytest.raises(CorruptCompression, match="too much memory"):
        decoded(next(kind for kind in KINDS if kind.name == "zstd"), data, 4096)
