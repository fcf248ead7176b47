"""Letters beyond ASCII in languages, and which encodings people write these languages in.

The figures are shares among the letters beyond ASCII of ordinary text, rounded: they only have to tell
the languages apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alphabet:
    """A language with the letters that it has beyond ASCII, in small form."""

    language: str
    letters: dict[str, float]


def _alphabet(language: str, shares: str) -> Alphabet:
    """`shares` has letters and their shares in turns."""
    words = shares.split()
    return Alphabet(language, dict(zip(words[::2], map(float, words[1::2]), strict=True)))


WESTERN = (
    _alphabet("German", "ä 55 ö 30 ü 65 ß 30 é 1"),
    _alphabet("French", "é 190 è 35 à 49 ê 22 ç 9 î 4 ô 4 û 6 ù 6 â 5 ë 1 ï 1 œ 2"),
    _alphabet("Spanish", "ó 80 í 70 á 50 é 43 ñ 31 ú 17 ü 2"),
    _alphabet("Portuguese", "ã 73 ç 53 á 43 é 45 í 26 ó 27 ê 40 õ 16 à 10 â 8 ú 11 ô 5"),
    _alphabet("Italian", "è 38 à 30 ù 12 ò 16 ì 8 é 5"),
    _alphabet("Danish", "æ 87 ø 94 å 119 é 2"),
    _alphabet("Swedish", "ä 180 å 134 ö 131 é 2"),
    _alphabet("Finnish", "ä 358 ö 44 å 1"),
    _alphabet("Icelandic", "ð 439 í 157 á 180 þ 145 ó 99 æ 87 ö 78 é 65 ú 61 ý 23"),
    _alphabet("Dutch", "ë 40 é 30 ï 25 ö 5 ü 5 è 10 ê 4 ç 2"),
    _alphabet("Catalan", "à 70 é 60 è 45 ó 50 ò 25 í 35 ú 15 ç 20 ï 5 ü 3"),
    _alphabet("Estonian", "ä 130 õ 100 ü 90 ö 20 š 1 ž 1"),
)
CENTRAL = (
    _alphabet("Czech", "í 326 á 224 ě 165 é 133 ř 121 ý 107 ž 99 č 95 š 82 ů 69 ú 10 ó 3 ť 4 ň 3 ď 2"),
    _alphabet("Slovak", "á 200 í 110 č 100 ý 100 é 85 ž 90 ú 90 š 80 ľ 40 ť 30 ô 20 ň 20 ó 10 ď 10 ä 5 ŕ 1 ĺ 1"),
    _alphabet("Polish", "ł 182 ę 111 ą 99 ó 85 ż 83 ś 66 ć 40 ń 20 ź 6"),
    _alphabet("Hungarian", "á 370 é 380 ó 110 ö 100 ő 90 í 50 ü 55 ú 25 ű 18"),
    _alphabet("Romanian", "ă 240 î 140 ş 110 ţ 100 â 90"),
    _alphabet("Croatian", "č 100 š 100 ž 60 ć 60 đ 30"),
    _alphabet("Slovene", "č 150 š 100 ž 65"),
)  # fmt: skip
BALTIC = (
    _alphabet("Lithuanian", "ė 160 ų 150 š 120 ž 80 į 70 ą 60 č 50 ū 45 ę 25"),
    _alphabet("Latvian", "ā 380 ī 190 ē 190 š 100 ņ 60 ū 50 ļ 40 ž 30 ķ 30 ģ 20 č 10"),
    _alphabet("Estonian and others", "ä 130 õ 100 ü 90 ö 20 š 1 ž 1"),
)
TURKISH = (_alphabet("Turkish", "ı 480 ü 185 ş 178 ğ 112 ç 115 ö 78 â 5 î 2 û 1"),)
GREEK = (
    _alphabet(
        "Greek",
        "α 110 ο 90 ι 85 τ 80 ε 80 ν 65 σ 50 η 50 υ 45 ρ 43 π 42 κ 41 μ 34 λ 31 ς 40 ω 16 γ 19 δ 17"
        " θ 12 χ 11 φ 9 β 7 ξ 5 ζ 4 ψ 2 ά 17 έ 15 ή 14 ί 20 ό 19 ύ 10 ώ 7 ϊ 1 ΐ 1 ϋ 1",
    ),
)
CYRILLIC = (
    _alphabet(
        "Russian",
        "о 110 е 85 а 80 и 74 н 67 т 63 с 55 р 47 в 45 л 44 к 35 м 32 д 30 п 28 у 26 я 20 ы 19 ь 17"
        " г 17 з 17 б 16 ч 14 й 12 х 10 ж 9 ш 7 ю 6 ц 5 щ 4 э 3 ф 3 ъ 1 ё 2",
    ),
    _alphabet(
        "Ukrainian",
        "о 94 а 83 н 68 и 61 і 55 т 53 в 52 е 50 р 45 с 41 к 39 л 36 д 33 у 33 м 31 п 29 я 22 з 22"
        " ь 18 б 17 г 16 й 14 ч 14 х 12 ж 9 ц 8 ш 8 ю 8 ї 6 щ 5 є 4 ф 2 ґ 1",
    ),
    _alphabet(
        "Bulgarian",
        "а 116 и 89 о 87 е 83 т 70 н 70 с 53 р 50 в 46 д 36 л 35 к 33 п 30 м 24 з 22 я 19 ъ 17 г 16"
        " ч 16 б 15 у 14 ц 7 ж 7 щ 7 х 7 й 6 ш 3 ю 2 ф 2 ь 1",
    ),
    _alphabet(
        "Serbian",
        "а 115 о 92 и 91 е 88 н 55 р 53 с 53 т 46 ј 46 у 43 в 39 д 37 к 36 м 36 л 33 п 29 г 18 з 17"
        " б 16 ч 10 ш 10 ц 8 х 7 ћ 7 њ 7 ж 6 љ 5 ђ 2 ф 2 џ 1",
    ),
)
HEBREW = (
    _alphabet(
        "Hebrew",
        "י 110 ה 105 ו 105 ל 75 א 65 ב 50 ש 50 ת 50 מ 50 ר 55 ם 30 נ 30 ד 28 ח 27 ע 35 כ 25 ק 22 פ 18"
        " ן 15 ט 13 צ 12 ג 13 ס 15 ז 13 ך 9 ף 3 ץ 2",
    ),
)
ARABIC = (
    _alphabet(
        "Arabic",
        "ا 130 ل 120 ي 70 م 65 و 60 ن 60 ر 45 ت 45 ب 40 ع 38 د 30 ه 35 ة 30 س 26 ف 28 ك 24 ق 26 أ 25"
        " ح 21 ج 14 ش 12 ص 11 ط 10 خ 9 ى 9 ض 8 ذ 8 ز 8 ث 7 غ 5 ظ 3 إ 8 ء 5 ئ 4 ؤ 2 آ 2 ً 3",
    ),
)
THAI = (
    _alphabet(
        "Thai",
        "า 70 น 65 ร 60 อ 55 ก 50 เ 48 ง 45 ่ 45 ้ 35 ม 38 ย 35 ี 30 ว 33 ท 28 ล 30 ั 32 ด 27 ต 22 ส 25 ค 22"
        " ะ 22 ป 20 บ 20 ิ 25 ห 20 ไ 18 แ 17 ข 15 จ 15 พ 15 ำ 10 ช 14 ใ 12 ็ 10 โ 9 ื 12 ุ 14 ู 13 ์ 12 ถ 8"
        " ผ 7 ธ 6 ณ 7 ศ 6 ญ 4 ซ 6 ษ 4 ฟ 3 ภ 4 ฝ 2 ฐ 2 ึ 6 ๆ 5 ฉ 2 ฎ 1 ฏ 1 ฆ 1 ฤ 1 ฬ 1",
    ),
)

SCRIPTS: dict[str, tuple[Alphabet, ...]] = {
    "cp1252": WESTERN,
    "cp1250": CENTRAL,
    "iso8859_2": CENTRAL,
    "cp1257": BALTIC,
    "cp1254": TURKISH,
    "cp850": WESTERN,
    "cp852": CENTRAL,
    "mac_roman": WESTERN,
    "cp1251": CYRILLIC,
    "koi8_r": CYRILLIC,
    "koi8_u": CYRILLIC,
    "cp866": CYRILLIC,
    "iso8859_5": CYRILLIC,
    "cp1253": GREEK,
    "iso8859_7": GREEK,
    "cp1255": HEBREW,
    "cp1256": ARABIC,
    "cp874": THAI,
}
"""Languages of each encoding of one byte a character, the usual encodings first."""
PENALTIES = {
    "iso8859_2": 0.5,
    "cp850": 3.0,
    "cp852": 3.0,
    "mac_roman": 3.0,
    "koi8_u": 0.5,
    "cp866": 2.0,
    "iso8859_5": 2.0,
    "iso8859_7": 0.5,
}
"""Logarithm of how much rarer an encoding is than those of Windows."""
LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1257", "cp1254", "cp850", "cp852", "mac_roman")
"""Encodings in which most letters are ASCII."""
