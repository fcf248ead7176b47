"""The likely encoding of text that is not UTF-8. Damaged UTF-8 stays UTF-8."""

from __future__ import annotations

import random

import pytest

from app.decoders.base import Wanted
from app.decoders.chain import Chain
from app.decoders.likely import likely_encoding
from tests.unit.decoders.languages import LANGUAGES, rows_of

ROWS = {
    "cp1252": "id,name,ort\n" + "1,Müller,Köln\n2,Schäfer,Straße 5\n" * 40,
    "cp1250": "id,imię\n" + "1,Łukasz,Łódź\n2,Żaneta,Gdańsk\n" * 40,
    "cp1251": "ид,имя\n" + "1,Иван,Москва\n" * 40,
    "koi8_r": "ид,имя\n" + "1,Иван,Москва\n" * 40,
    "cp1253": "id,όνομα\n" + "1,Γιώργος,Αθήνα\n" * 40,
    "cp932": "番号,都市\n" + "1,東京,とうきょう\n" * 40,
    "euc_jp": "番号,都市\n" + "1,東京,とうきょう\n" * 40,
    "cp949": "번호,도시\n" + "1,서울,김철수\n" * 40,
    "gb18030": "编号,城市\n" + "1,北京,张伟\n" * 40,
    "big5": "編號,城市\n" + "1,臺北,陳怡君\n" * 40,
}


@pytest.mark.parametrize("encoding", ROWS)
def test_the_text_is_decoded_as_it_was_encoded(encoding: str) -> None:
    data = ROWS[encoding].encode(encoding)
    likely = likely_encoding(data)
    assert likely is not None
    assert data.decode(likely[0]) == ROWS[encoding]
    assert 0 < likely[1] <= 1
    chain = Chain()
    chain.or_likely = True
    stored = b"".join([*chain.feed(data), *chain.finish(Wanted())])
    assert stored.decode() == ROWS[encoding]
    assert chain.reports(0)[0].facts["confidence"] == likely[1]


@pytest.mark.parametrize("encoding", ROWS)
def test_damaged_utf_8_stays_utf_8(encoding: str) -> None:
    dice = random.Random(18)
    data = bytearray(ROWS[encoding].encode())
    for _ in range(len(data) // 60):  # every line or so
        data[dice.randrange(len(data))] = dice.choice(b"\xff\xe9\x80\xfc")
    assert likely_encoding(bytes(data)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n\xff,1\n",
        b"id,n\n" + b"1,x\n" * 1_000 + b"2,caf\xe9\n" * 5,
        b"id,n\n" + b"\xff\xfe\xfd,1\n" * 50,
        b"id,n\n" * 9_000,
        b"",
    ],
)
def test_some_bad_rows_in_plain_text_do_not_change_the_encoding(data: bytes) -> None:
    assert likely_encoding(data) is None


def test_a_title_and_a_header_below_it_decide_for_rows_without_such_letters() -> None:
    data = "Bevölkerung der Städte;;\n;;\nGröße;Zahl;n\n".encode("cp1252") + b"1;2;3\n" * 500
    likely = likely_encoding(data)
    assert likely is not None
    assert data.decode(likely[0]).startswith("Bevölkerung")


def test_the_sign_of_a_currency_is_no_letter() -> None:
    data = "Region,Spend (£)\n" + "".join(f"Region {n},£{n}000.00\n" for n in range(12))
    likely = likely_encoding(data.encode("cp1252"))
    assert likely is not None
    assert likely[0] == "cp1252"


def test_common_kanji_alone_are_shift_jis() -> None:
    cities = ["東京", "大阪", "名古屋", "札幌", "福岡"]
    for names in (cities[:1], cities):
        rows = "".join(f"{n};{names[n % len(names)]};{n * 3}\n" for n in range(60))
        likely = likely_encoding(f"id;city;n\n{rows}".encode("shift_jis"))
        assert likely is not None
        assert likely[0] == "cp932"
        assert likely[1] >= (0.75 if len(names) == 1 else 0.95)


def test_capitals_of_dos_are_no_shift_jis() -> None:
    cities = ["МОСКВА", "КАЗАНЬ", "УФА", "ОМСК", "ПЕРМЬ", "САМАРА"]
    rows = "".join(f"{n};{cities[n % len(cities)]};{n * 3}\n" for n in range(60))
    likely = likely_encoding(f"id;city;n\n{rows}".encode("cp866"))
    assert likely is not None
    assert likely[0] == "cp866"


def test_nothing_is_guessed_unless_requested() -> None:
    data = ROWS["cp1252"].encode("cp1252")
    chain = Chain()
    assert b"".join([*chain.feed(data), *chain.finish(Wanted())]) == data


CAPITALS = [
    ("russian", "koi8_r"),
    ("russian", "cp1251"),
    ("polish", "cp1250"),
    ("greek", "cp1253"),
]
PAIRS = [
    (name, encoding) for name, language in LANGUAGES.items() for encoding in language.encodings
]


def written(
    name: str, encoding: str, words: int, first: int, *, in_capitals: bool = False
) -> tuple[str, bytes]:
    """A table with words of a language, in an encoding that may lack some of its signs."""
    text = rows_of(LANGUAGES[name].text, words, first)
    data = (text.upper() if in_capitals else text).encode(encoding, "ignore")
    return data.decode(encoding), data


@pytest.mark.parametrize(("name", "encoding"), [pair for pair in PAIRS if pair[1] != "mac_iceland"])
@pytest.mark.parametrize("first", [0, 13])
def test_some_sentences_of_a_language_identify_its_encoding(
    name: str, encoding: str, first: int
) -> None:
    text, data = written(name, encoding, 50, first)
    likely = likely_encoding(data)
    assert likely is not None
    assert data.decode(likely[0]) == text
    assert likely[1] > 0.5


@pytest.mark.parametrize(
    ("name", "encoding"),
    CAPITALS,
)
def test_capitals_alone_identify_it_too(name: str, encoding: str) -> None:
    text, data = written(name, encoding, 50, 0, in_capitals=True)
    likely = likely_encoding(data)
    assert likely is not None
    assert data.decode(likely[0]) == text


def test_the_confidence_is_the_share_of_right_guesses() -> None:
    """Few words, some of them too few for a decision."""
    dice = random.Random(5)
    right: dict[bool, list[bool]] = {True: [], False: []}
    for name, encoding in PAIRS:
        words = LANGUAGES[name].text.replace(",", "").split()
        for count in (6, 10, 20):
            text = "id,text\n" + "".join(f"{n},{dice.choice(words)}\n" for n in range(count))
            data = text.encode(encoding, "ignore")
            likely = likely_encoding(data)
            if likely is not None and encoding != "mac_iceland":
                is_right = data.decode(likely[0], "replace") == data.decode(encoding)
                right[likely[1] >= 0.9].append(is_right)
    assert len(right[True]) > 100
    assert sum(right[True]) / len(right[True]) > 0.97
    assert 0.5 < sum(right[False]) / len(right[False]) < 0.97
