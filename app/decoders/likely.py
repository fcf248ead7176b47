"""Detection of the encoding of text that is not UTF-8 and declares none.

Text with one byte a character is decoded in each encoding, and the letters beyond ASCII are
compared with those of the languages that are written in it. Text with several bytes a character is
left to charset-normalizer.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from app.decoders.letters import LATIN, PENALTIES, SCRIPTS, Alphabet

LATIN_SHARE = 10
"""Fewest bytes of a Latin text that are invalid UTF-8, for each valid character beyond ASCII. With
fewer, a file is UTF-8 with some damage.
"""
MIN_BYTES = 3
"""Fewest bytes beyond ASCII, if some are in the header."""
HEAD_LINES = 8
"""Lines among which the header is looked for."""
DELIMITER, PADDING = re.compile(rb"[,;\t|]"), b",;\t| "
MIN_LINES, LINE_SHARE = 3, 20
"""Fewest lines with bytes beyond ASCII: this number, and one in so many. With fewer, these lines
are rejected.
"""


class _Ranges(NamedTuple):
    """Bytes of the characters of common use in an encoding with two bytes a character."""

    first: int
    """First leading byte."""
    last: int
    least_second: int


COMMON = {
    "cp932": _Ranges(0x81, 0x98, 0x40),
    "euc_jp": _Ranges(0xA1, 0xCF, 0xA1),
    "cp949": _Ranges(0xA1, 0xC8, 0xA1),
    "gb18030": _Ranges(0xA1, 0xD7, 0xA1),
    "big5": _Ranges(0xA1, 0xC6, 0x40),
}
"""Signs, kana, Hangul, and the first level of ideographs, by the standards of the encodings."""
SEVERAL_BYTES = tuple(COMMON)
COMMON_SHARE = 0.95
WORD = re.compile(rb"[\x80-\xff][\x40-\xff]*")
ALONE_SHARE = 0.5
"""Share of the bytes beyond ASCII without another one beside them. With more, most letters are
ASCII, so it is one byte a character.
"""
LEAST_MEAN, LEAST_LATIN_MEAN = -4.2, -4.7
"""Mean logarithm of the probability of a letter, below which a text is in none of the languages; the
second for text whose letters are mostly ASCII, since tables mix names of several languages.
"""
HALF_WIDTH = re.compile("[\uff61-\uff9f]")
HIGH_BYTE = re.compile(rb"[\x80-\xff]")
SIGNS = frozenset("’‘“”„«»‹›–—…•·€£§°©®™²³¿¡ªº‚№\xa0\xad")
"""Signs beyond ASCII that ordinary text has."""

TOUCHING = frozenset("’‘“”„«»‹›–—…¿¡‚№\xa0\xad")
"""Signs that touch letters."""

IN_LANGUAGE, IN_SCRIPT = 0.88, 0.1
"""Shares of the letters that are of the language, and of another one with the same script."""
CAPITAL = 0.12
"""Share of capital letters."""
ALL_CAPITALS = math.log(0.05)
"""How much rarer text in capitals is."""
SIGN, SIGN_IN_WORD, STRANGE, CONTROL = (math.log(p) for p in (1.2e-2, 1e-5, 1e-5, 1e-7))
CAPITAL_BEHIND_SMALL = math.log(0.02)
APOSTROPHE_BEFORE_WORD = math.log(0.05)
LETTER_BEFORE_DIGIT = math.log(0.02)
"""In another encoding such a letter may be the sign of a currency."""
DELIMITERS = frozenset(",;|\"'")
EVIDENCE = 0.5
"""Weight of the difference between two encodings: letters of one word are not independent."""
MOST_SURE = 0.99


class _Reading(NamedTuple):
    encoding: str
    score: float
    """Logarithm of the probability of the text."""
    mean: float
    """Mean of that logarithm, by character beyond ASCII."""
    characters: str
    """Characters that the bytes beyond ASCII stand for, in ascending order of the bytes."""


def likely_encoding(beginning: bytes) -> tuple[str, float] | None:
    """Return (encoding, confidence from 0 to 1) of a text that begins so; None if it is UTF-8, as a
    whole or but for some damage, or if the encoding is not clear.
    """
    body = _without_cut_line(beginning)
    try:
        body.decode()
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    else:
        return None
    wrong = text.count("\ufffd")
    right = sum(character > "\x7f" for character in text) - wrong
    if wrong <= right or not _has_many_lines(body):
        return None
    readings = _readings(body)
    best = readings[0]
    if _share_alone(body) < ALONE_SHARE and best.mean < LEAST_MEAN:
        return _of_several_bytes(body)
    if _are_kanji(body, best):
        return "cp932", _confidence_of_words(body)
    if best.mean < LEAST_LATIN_MEAN:
        return None
    if best.encoding in LATIN and wrong <= right * LATIN_SHARE:
        return None
    return best.encoding, _confidence(readings)


def _without_cut_line(beginning: bytes) -> bytes:
    """Return the whole lines, since the last one may end within a character."""
    end = max(beginning.rfind(b"\n"), beginning.rfind(b"\r"))
    return beginning[: end + 1] if end >= 0 else beginning


def _has_many_lines(body: bytes) -> bool:
    """Whether bytes beyond ASCII are usual, and not the damage of some lines; those in the header
    would make the file unreadable.
    """
    lines = body.splitlines()
    high = sum(not line.isascii() for line in lines)
    is_in_header = not all(line.isascii() for line in _head_of(lines))
    is_header = is_in_header and len(HIGH_BYTE.findall(body)) >= MIN_BYTES
    return is_header or (high >= MIN_LINES and high * LINE_SHARE >= len(lines))


def _head_of(lines: Sequence[bytes]) -> Sequence[bytes]:
    """Return the lines up to the first one with a delimiter between its cells: titles and the
    header; only the first line if there is none.
    """
    for place, line in enumerate(lines[:HEAD_LINES]):
        if DELIMITER.search(line.rstrip(PADDING)):
            return lines[: place + 1]
    return lines[:1]


def _share_alone(body: bytes) -> float:
    """Return the share of the bytes beyond ASCII that have none beside them."""
    runs = re.findall(rb"[\x80-\xff]+", body)
    return sum(len(run) == 1 for run in runs) / max(1, sum(map(len, runs)))


def _of_several_bytes(body: bytes) -> tuple[str, float] | None:
    import charset_normalizer

    common = [name for name in SEVERAL_BYTES if _share_common(body, name) >= COMMON_SHARE]
    if len(common) == 1:
        return common[0], _confidence_of_words(body)
    results = charset_normalizer.from_bytes(body, cp_isolation=common or [*SEVERAL_BYTES])
    best = next((result for result in results if not _is_half_width(str(result))), None)
    return None if best is None else (best.encoding, round(max(0.0, 1 - best.chaos), 2))


def _are_kanji(body: bytes, best: _Reading) -> bool:
    """Whether capitals of one byte each are common kanji in Shift JIS: their leading bytes are
    capitals in the code pages of DOS, but words of an odd length hardly ever decode as Shift JIS.
    """
    has_small = any(character.islower() for character in best.characters)
    return not has_small and _share_common(body, "cp932") == 1


def _share_common(body: bytes, encoding: str) -> float:
    """Return the share of the characters beyond ASCII that are of common use; 0 if the text is not
    in this encoding.
    """
    try:
        counts = Counter(character for character in body.decode(encoding) if character > "\x7f")
    except UnicodeDecodeError:
        return 0.0
    common = sum(
        count
        for character, count in counts.items()
        if _is_in(COMMON[encoding], character.encode(encoding))
    )
    return common / max(1, counts.total())


def _is_in(ranges: _Ranges, character: bytes) -> bool:
    return (
        len(character) == 2
        and ranges.first <= character[0] <= ranges.last
        and character[1] >= ranges.least_second
    )


def _confidence_of_words(body: bytes) -> float:
    """Return how sure it is that words are of characters of two bytes: each different one has an
    even length.
    """
    return round(min(MOST_SURE, 1 - 0.5 ** (1 + len(set(WORD.findall(body))))), 2)


def _is_half_width(text: str) -> bool:
    """Whether much of it is katakana of half the width: almost nobody writes them, and any pair of
    bytes may be two of them.
    """
    beyond = sum(character > "\x7f" for character in text)
    return len(HALF_WIDTH.findall(text)) * 4 > beyond


# ---------------------------------------------------------------------- one byte a character


def _readings(body: bytes) -> list[_Reading]:
    """Return the text in each encoding of one byte a character, the likeliest first."""
    pairs = Counter(zip(body, body[1:] + b"\n", strict=True))
    counts: Counter[int] = Counter()
    for (byte, _), count in pairs.items():
        if byte > 0x7F:
            counts[byte] += count
    bytes_used = sorted(counts)
    readings = []
    for encoding, alphabets in SCRIPTS.items():
        table = bytes(range(256)).decode(encoding, "replace")
        context = sum(count * _context(table[a], table[b]) for (a, b), count in pairs.items())
        letters = [(table[byte], counts[byte]) for byte in bytes_used]
        of_language = max(_score(letters, alphabet) for alphabet in alphabets) + _case(letters)
        score = of_language + context - PENALTIES.get(encoding, 0.0)
        mean = (of_language + context) / max(1, counts.total())
        readings.append(_Reading(encoding, score, mean, "".join(letter for letter, _ in letters)))
    return sorted(readings, key=lambda reading: -reading.score)


def _score(letters: list[tuple[str, int]], alphabet: Alphabet) -> float:
    """Return the logarithm of the probability of these characters in a language."""
    probabilities = _probabilities(alphabet.language)
    return sum(count * probabilities.get(letter, _of_others(letter)) for letter, count in letters)


def _case(letters: list[tuple[str, int]]) -> float:
    """Return the logarithm of the probability of so many capitals: few, or nearly all."""
    capitals = sum(count for letter, count in letters if letter.isupper())
    small = sum(count for letter, count in letters if letter.islower())
    usual = capitals * math.log(CAPITAL) + small * math.log(1 - CAPITAL)
    reverse = capitals * math.log(1 - CAPITAL) + small * math.log(CAPITAL)
    return max(usual, reverse + ALL_CAPITALS)


@cache
def _probabilities(language: str) -> dict[str, float]:
    """Return the logarithm of the probability of each letter, in a language and beyond it in the
    same script.
    """
    script = next(alphabets for alphabets in SCRIPTS.values() if _has(alphabets, language))
    alphabet = next(alphabet for alphabet in script if alphabet.language == language)
    total = sum(alphabet.letters.values())
    of_script = {letter for others in script for letter in others.letters}
    probabilities = {}
    for letter in of_script:
        share = IN_LANGUAGE * alphabet.letters.get(letter, 0.0) / total
        probability = share + IN_SCRIPT / len(of_script)
        probabilities[letter] = math.log(probability)
        probabilities[_capital(letter)] = probabilities[letter]
    return probabilities


def _has(alphabets: tuple[Alphabet, ...], language: str) -> bool:
    return any(alphabet.language == language for alphabet in alphabets)


def _capital(letter: str) -> str:
    if letter == "ı":
        return "İ"  # its own capital is ASCII
    capital = letter.upper()
    return capital if len(capital) == 1 else letter


@cache
def _of_others(character: str) -> float:
    """Return the logarithm of the probability of a character that no language of the script has."""
    if character in SIGNS:
        return SIGN
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cn", "Co"):
        return CONTROL
    return STRANGE


@cache
def _context(first: str, second: str) -> float:
    """Return what it costs that these two characters follow each other."""
    if first <= "\x7f" and second <= "\x7f":
        return 0.0
    if first.islower() and second.isupper():
        return CAPITAL_BEHIND_SMALL
    if first > "\x7f" and first.isalpha() and second.isdigit():
        return LETTER_BEFORE_DIGIT
    if second == "’" and (first.isspace() or first in DELIMITERS):
        return APOSTROPHE_BEFORE_WORD
    if (_is_odd_sign(first) and second.isalpha()) or (first.isalpha() and _is_odd_sign(second)):
        return SIGN_IN_WORD - SIGN
    return 0.0


def _is_odd_sign(character: str) -> bool:
    """Whether a sign hardly touches a letter."""
    if character <= "\x7f" or character in TOUCHING:
        return False
    return unicodedata.category(character)[0] not in "LM"


def _confidence(readings: list[_Reading]) -> float:
    """Return how sure the first is against the first that makes another text."""
    best = readings[0]
    other = next(reading for reading in readings if reading.characters != best.characters)
    odds = min(60.0, EVIDENCE * (best.score - other.score))
    return round(min(MOST_SURE, 1 / (1 + math.exp(-odds))), 2)
