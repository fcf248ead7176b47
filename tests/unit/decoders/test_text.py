"""Text in any encoding that Python knows: what is stored is what Python's own decoder gives, and bytes
that are no text are still there.
"""

from __future__ import annotations

import codecs
from encodings.aliases import aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decoders.base import Wanted
from app.decoders.chain import Chain
from app.decoders.text import TextDecoder, encoded_back
from app.errors import UnsupportedEncoding
from app.formats.detect import Declared
from app.formats.encodings import decoded_on_arrival, restored
from tests.formats.reading import detected, read_all, stored

SAMPLES = {
    "shift_jis": "番号,都市\n1,東京\n",
    "cp932": "番号,都市\n1,①東京\n",
    "euc_jp": "番号,都市\n1,東京\n",
    "iso2022_jp": "番号,都市\n1,東京\n",
    "cp949": "번호,도시\n1,서울\n",
    "euc_kr": "번호,도시\n1,서울\n",
    "big5": "號碼,日期\n1,山川\n",
    "gb18030": "编号,城市\n1,北京\U0001f600\n",
    "gbk": "编号,城市\n1,北京\n",
    "hz": "编号,城市\n1,北京\n",
    "utf_32": "id,näme\n1,\U0001f600\n",
    "utf_7": "id,näme\n1,é\n",
    "cp037": "id,name\n1,x\n",
}


def decoded(data: bytes, encoding: str | None, size: int) -> tuple[bytes, Chain]:
    chain = Chain()
    chain.encoding = encoding
    pieces = [
        piece
        for start in range(0, len(data), size)
        for piece in chain.feed(data[start : start + size])
    ]
    return b"".join([*pieces, *chain.finish(Wanted())]), chain


@pytest.mark.parametrize("encoding", SAMPLES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_text_is_stored_as_utf_8(encoding: str, size: int) -> None:
    text = SAMPLES[encoding]
    stored, chain = decoded(text.encode(encoding), encoding, size)
    assert stored.decode() == text
    (report,) = chain.reports(0)
    assert codecs.lookup(report.facts["encoding"].removesuffix("-le")) == codecs.lookup(encoding)


def test_every_encoding_of_python_is_decoded_split_directly_or_refused() -> None:
    for name in sorted(set(aliases.values())):
        try:
            codec = decoded_on_arrival(b"a,b\n", name)
        except UnsupportedEncoding:
            assert name in {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec",
                            "zlib_codec", "mbcs"}, name  # fmt: skip
            continue
        if codec is not None:
            text = "a,b\n1,2\n"
            assert decoded(text.encode(name), name, 3)[0] == text.encode(), name


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be"])
def test_utf_32_is_recognised_by_its_byte_order_mark(encoding: str) -> None:
    data = ("\ufeff" + SAMPLES["utf_32"]).encode(encoding)
    stored, chain = decoded(data, None, 5)
    assert stored.decode() == SAMPLES["utf_32"]
    assert chain.reports(0)[0].facts == {"encoding": encoding}


TEXT = "id,näme\n1,é\n"
LE, BE = TEXT.encode("utf-16-le"), TEXT.encode("utf-16-be")


@pytest.mark.parametrize(
    ("data", "declared", "encoding"),
    [
        (b"\xff\xfe" + LE, None, "utf-16-le"),
        (b"\xfe\xff" + BE, None, "utf-16-be"),
        (b"\xff\xfe" * 2 + LE, None, "utf-16-le"),
        (LE, None, "utf-16-le"),
        (BE, None, "utf-16-be"),
        (BE, "utf-16", "utf-16-be"),
        (b"\xfe\xff" + BE, "UTF-16", "utf-16-be"),
        (b"a\0", "utf-16", "utf-16-le"),
        ("номер,город\n1,Казань\n".encode("utf-16-be"), None, "utf-16-be"),
        ("番号,都市\r\n1,東京\r\n".encode("utf-16-le"), None, "utf-16-le"),
        ("ä,b\nx\0,y\nz,\0\n".encode() + b"1,2\n" * 9, None, None),
        (b"\0\1\2\0\0abc\0\0\0\7\0", None, None),
        (TEXT.encode("utf-8-sig"), None, None),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_utf_16_is_recognised_by_its_byte_order_mark_or_its_zeros(
    data: bytes, declared: str | None, encoding: str | None, size: int
) -> None:
    assert decoded_on_arrival(data, declared) == encoding
    kept, _ = decoded(data, declared, size)
    if encoding is None:
        assert kept == data
    else:
        assert kept.decode() == data.decode(encoding).lstrip("\ufeff")


@pytest.mark.parametrize("order", ["le", "be"])
def test_invalid_utf_16_costs_only_its_row(order: str) -> None:
    codec = f"utf-16-{order}"
    half = "\ud83d".encode(codec, "surrogatepass")
    data = "a,b\n1,".encode(codec) + half + "\n\0,2\n3,4\n5,6".encode(codec) + b"\x07"
    kept, said = stored(data, Declared(encoding=codec))
    rows, rejects = read_all(kept, detected(kept, said))
    assert rows == [(3, ["3", "4"])]
    assert [(reject.row_number, reject.code) for reject in rejects] == [
        (1, "invalid_encoding"),
        (2, "nul_character"),
        (4, "invalid_encoding"),
    ]
    assert restored(rejects[0].raw, codec) == "1,".encode(codec) + half
    assert restored(rejects[2].raw, codec) == "5,6".encode(codec) + b"\x07"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "koi8-r", "ascii", None])
def test_text_that_can_be_split_directly_is_stored_unchanged(encoding: str | None) -> None:
    data = b"a,b\n\xe4,\xff\n"
    stored, chain = decoded(data, encoding, 4)
    assert (stored, chain.reports(0)) == (data, [])


@pytest.mark.parametrize("encoding", ["escape", "unicode_escape", "idna", "rot13", "klingon", "\0"])
def test_a_codec_that_is_not_a_text_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        decoded(b"a,b\n", encoding, 10)


@given(
    st.lists(st.sampled_from(["東", "京", "a", ",", b"\x81", b"\xff", b"\x80\x81"]), min_size=1),
    st.integers(1, 5),
)
def test_undecodable_bytes_are_restored(parts: list[str | bytes], size: int) -> None:
    data = b"".join(p if isinstance(p, bytes) else p.encode("shift_jis") for p in parts) + b"\n"
    stored, _ = decoded(data, "shift_jis", size)
    assert restored(stored, "shift_jis") == data
    try:
        assert stored.decode() == data.decode("shift_jis")
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):  # neither of them is text
            data.decode("shift_jis")
        with pytest.raises(UnicodeDecodeError):
            stored.decode()


def test_long_text_is_decoded_in_bounded_pieces() -> None:
    data = (SAMPLES["big5"] * 100_000).encode("big5")
    sizes = [len(piece) for piece in TextDecoder("big5").feed(data)]
    assert max(sizes) < 1 << 20


@pytest.mark.parametrize("encoding", sorted(SAMPLES))
def test_received_and_stored_bytes_are_told_apart(encoding: str) -> None:
    text = SAMPLES[encoding]
    received = text.encode(encoding)
    if encoding in ("cp932", "euc_kr", "gbk"):
        received += b"2,\xff\xff\n"  # bytes that are no text in these
    stored, _ = decoded(received, encoding, 7)
    name = decoded_on_arrival(received, encoding)
    assert name is not None
    for size in (1, 2, 5, 100):
        pieces = (stored[at : at + size] for at in range(0, len(stored), size))
        assert b"".join(encoded_back(pieces, name)).decode(encoding, "replace") == received.decode(
            encoding, "replace"
        )
