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

from app.decoders.base import Kind, NeedsMemory, Wanted
from app.decoders.chain import Chain
from app.decoders.compression import COMPRESSIONS as KINDS
from app.decoders.compression import Decompressor, xz_dictionary
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


def kind_of(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


def needed(name: str, data: bytes) -> int:
    """Return the memory that a decoder asks for before it takes the data."""
    decoder = kind_of(name).open()
    assert isinstance(decoder, NeedsMemory)
    assert next(iter(decoder.feed(data))) == b""
    return decoder.memory_bytes


@pytest.mark.parametrize(("preset", "dictionary"), [(0, 256 << 10), (6, 8 << 20), (9, 64 << 20)])
def test_memory_of_xz_is_that_of_its_dictionary(preset: int, dictionary: int) -> None:
    """The dictionaries are those of the manual of xz."""
    data = lzma.compress(TEXT, preset=preset)
    assert xz_dictionary(data) == dictionary
    assert needed("xz", data) == min(dictionary + (1 << 20), 80 << 20)
    assert decoded(kind_of("xz"), data, 1 << 16) == TEXT


def test_memory_of_xz_is_found_behind_other_filters_and_sizes() -> None:
    filters = [
        {"id": lzma.FILTER_DELTA, "dist": 2},
        {"id": lzma.FILTER_LZMA2, "dict_size": 3 << 20},
    ]
    data = lzma.compress(TEXT, filters=filters)
    assert xz_dictionary(data) == 3 << 20
    assert xz_dictionary(lzma.compress(b"")) == 0
    assert decoded(kind_of("xz"), data, 1 << 16) == TEXT
    for end in (7, 13, 15):
        assert needed("xz", data[:end]) == 80 << 20


def test_memory_of_zstd_is_that_of_its_window() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=22)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packed.compress(TEXT) + packed.flush()
    assert needed("zstd", data) == (4 << 20) + (512 << 10)
    assert needed("zstd", data[:5]) == (32 << 20) + (512 << 10)


def test_memory_is_asked_for_each_member_and_given_back() -> None:
    decoder = kind_of("xz").open()
    assert isinstance(decoder, NeedsMemory)
    data = lzma.compress(TEXT, preset=0) + lzma.compress(TEXT, preset=9)
    asked = [decoder.memory_bytes for piece in decoder.feed(data) if not piece]
    assert asked == [(256 << 10) + (1 << 20), 65 << 20]
    assert decoder.memory_bytes == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nothing_and_a_rest_are_no_member(kind: Kind) -> None:
    for data in (b"", COMPRESS[kind.name](TEXT) + b"rest", bytes(9)):
        with pytest.raises(RequestError):
            decoded(kind, data, 4096)
    assert decoded(kind, COMPRESS[kind.name](b""), 1) == b""


def test_many_tiny_members_cost_what_they_hold() -> None:
    """Each member copies the bytes that follow it: with a whole block, that takes its square."""
    fed = 0

    class Tiny:
        eof = False
        unused_data = b""

        def decompress(self, data: bytes, max_length: int) -> bytes:
            nonlocal fed
            fed += len(data)
            self.eof, self.unused_data = True, data[10:]
            return b""

    decoder = Decompressor("tiny", lambda memory: Tiny(), memory=lambda beginning: 0)
    assert not any(decoder.feed(bytes(1 << 20)))
    assert fed < (1 << 20) // 10 * 5_000
    assert decoded(kind_of("gzip"), gzip.compress(b"") * 9_000, 1 << 20) == b""
