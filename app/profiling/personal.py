"""Signs of personal data in samples: e-mail addresses, phone numbers, payment cards, names. A sign
is likely, not sure.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

KINDS = ("email", "phone", "card", "name")
LIKELY = 0.5
"""Share of the checked values that must have the sign."""
LIKELY_IF_NAMED = 0.1
"""Sufficient share if the header also names the kind."""

HEADER_WORDS = {
    "email": {"email", "mail", "emails"},
    "phone": set("phone phones telephone tel mobile cell fax telefon handy mobil telefono".split()),
    "card": {"card", "pan", "cardnumber", "creditcard", "kreditkarte", "kartennummer"},
    "name": set(
        "firstname lastname surname forename fullname givenname familyname middlename"
        " customername employeename contact nachname vorname nom prenom nombre apellido".split()
    ),
}
_NAME_OF = frozenset(
    "first last full given family middle customer employee contact client user account holder"
    " cardholder person patient guest recipient your".split()
)
"""Words of a header that make the word `name` the name of a person."""

_EMAIL = re.compile(r"[^@\s,;<>()]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_PHONE = re.compile(r"\+?[0-9 ()./-]{6,22}")
_DIGIT = re.compile(r"[0-9]")
_DATE_OR_NUMBER = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?: .*)?|\d+\.\d+|-\d+(\.\d+)?")
_GROUPED = re.compile(r"0?\d{2,5}[ ./-].*\d{3,}")
_CARD = re.compile(r"[0-9](?:[ -]?[0-9]){12,18}")
_NAME = re.compile(r"[^\W\d_]{1,30}\.?(?:[ '’-]{1,2}[^\W\d_]{1,30}\.?){0,4}(?:, ?[^\W\d_ ]{1,30})?")
_CAPITAL = re.compile(r"[^\W\d_a-z]")
FIRST_NAMES = frozenset(
    "adam ahmed aisha alex alexander ali alice amanda amelia amy ana anders andrea andrew anita"
    " anna anne anthony anton antonio ashley barbara ben benjamin bob brian carl carla carlos"
    " carol caroline charles charlotte chen chloe christian christina christine christopher"
    " claire clara daniel david deborah denise diana diego donald dorothy edward elena elisabeth"
    " elizabeth emil emily emma eric erik eva fatima felix fernando francesco frank gabriel"
    " george giulia grace hannah hans harry heather heidi helen henry hugo ian ines ingrid"
    " isabel isabella ivan jack jacob james jan jane jason javier jean jennifer jessica joan"
    " john jonas jorge jose joseph juan julia julie karen karin katherine kevin klaus kumar"
    " laura lea lena leo leon lily linda lisa louis lucas lucia luis lukas luke maria marie mark"
    " markus martha martin mary matthew max mehmet mei melissa mia michael michelle miguel"
    " mohamed mohammed nancy natalie nicolas nina noah olga oliver olivia oscar pablo patricia"
    " patrick paul paula pedro peter petra philip pierre priya rachel raj ralf ravi rebecca"
    " richard robert rosa ruth sabine samuel sandra sara sarah sebastian sofia sophia sophie"
    " stefan stephanie stephen steven susan sven thomas tim tom ursula victor victoria wei"
    " william wolfgang yuki zoe".split()
)


def signs(values: Sequence[str]) -> dict[str, int]:
    """Return how many of these values have each sign. `digits` (7 to 15) and `words` are signs that
    only a header makes a phone number or a name.
    """
    counts = dict.fromkeys((*KINDS, "digits", "words"), 0)
    for value in values:
        text = value.strip()
        if _EMAIL.fullmatch(text):
            counts["email"] += 1
        elif _CARD.fullmatch(text) and luhn(text):
            counts["card"] += 1
        elif _is_phone(text):
            counts["phone"] += 1
        elif _is_name(text):
            counts["name"] += 1
        elif text.isdigit() and 7 <= len(text) <= 15:
            counts["digits"] += 1
        elif _NAME.fullmatch(text) and text[:1].isupper():
            counts["words"] += 1
    return {kind: count for kind, count in counts.items() if count}


def flags(header: str, counts: dict[str, int], looked_at: int, *, is_date: bool) -> list[str]:
    """Return the kinds of personal data that a column with this header likely holds.

    `counts` are the `signs` of the checked values. A header alone proves nothing: values must
    agree.
    """
    if not looked_at or is_date:
        return []
    words = header_words(header)
    shares = {sign: count / looked_at for sign, count in counts.items()}
    likely = []
    for kind in KINDS:
        share = shares.get(kind, 0)
        if share >= LIKELY or (share >= LIKELY_IF_NAMED and _is_named(kind, words)):
            likely.append(kind)
    for kind, sign in (("phone", "digits"), ("name", "words")):
        has_sign = shares.get(sign, 0) >= LIKELY
        if kind not in likely and words & HEADER_WORDS[kind] and has_sign:
            likely.append(kind)
    return likely


def _is_named(kind: str, words: set[str]) -> bool:
    """Return whether a header of these words names the kind."""
    if words & HEADER_WORDS[kind]:
        return True
    if kind != "name" or "name" not in words:
        return False
    return words == {"name"} or bool(words & _NAME_OF)


def header_words(header: str) -> set[str]:
    """Return the words of a header, and the header as one word."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", header)
    words = [word for word in re.split(r"[\W_]+", parted.lower()) if word]
    pairs = {a + b for a, b in itertools.pairwise(words)}
    return {*words, *pairs, "".join(words)} - {""}


def luhn(text: str) -> bool:
    """Return whether the check digit of a card number fits."""
    digits = [int(character) for character in text if character.isdigit()]
    if len(set(digits)) == 1:
        return False
    doubled = [2 * d - 9 * (d > 4) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(text: str) -> bool:
    if not _PHONE.fullmatch(text) or not 7 <= len(_DIGIT.findall(text)) <= 15:
        return False
    if _DATE_OR_NUMBER.fullmatch(text):
        return False
    return text.startswith(("+", "00", "(")) or bool(_GROUPED.fullmatch(text))


def _is_name(text: str) -> bool:
    """Return whether a text is a few words, one of them a known first name, and only letters."""
    if not _NAME.fullmatch(text) or not _CAPITAL.search(text):
        return False
    return any(word.strip(".,'") in FIRST_NAMES for word in text.lower().replace(",", " ").split())
