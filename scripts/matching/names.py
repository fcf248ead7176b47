"""Write a name in words as the header of some system: its style, abbreviations, prefixes, noise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

SHORT = {
    "account": "acct", "address": "addr", "amount": "amt", "average": "avg", "balance": "bal", "building": "bldg",
    "category": "cat", "certificate": "cert", "code": "cd", "company": "co", "contract": "contr", "count": "cnt",
    "country": "ctry", "currency": "ccy", "customer": "cust", "date": "dt", "department": "dept", "description": "desc",
    "destination": "dest", "diagnosis": "dx", "distance": "dist", "document": "doc", "duration": "dur",
    "education": "edu", "employee": "emp", "estimated": "est", "expiration": "exp", "frequency": "freq",
    "group": "grp", "height": "ht", "history": "hx", "identifier": "id", "indicator": "ind", "insurance": "ins",
    "invoice": "inv", "language": "lang", "latitude": "lat", "length": "len", "level": "lvl", "location": "loc",
    "longitude": "lon", "maximum": "max", "measurement": "meas", "message": "msg", "minimum": "min", "month": "mo",
    "name": "nm", "number": "no", "order": "ord", "organisation": "org", "package": "pkg", "patient": "pt",
    "payment": "pmt", "percent": "pct", "position": "pos", "postal": "post", "previous": "prev", "primary": "prim",
    "product": "prod", "quantity": "qty", "received": "rcvd", "reference": "ref", "region": "reg", "result": "res",
    "sales": "sls", "sequence": "seq", "service": "svc", "shipping": "ship", "specimen": "spec", "standard": "std",
    "start": "strt", "status": "sts", "street": "str", "surgery": "surg", "symptoms": "sx", "system": "sys",
    "telephone": "tel", "temperature": "temp", "total": "tot", "transaction": "txn", "treatment": "tx",
    "type": "typ", "value": "val", "vehicle": "veh", "version": "ver", "volume": "vol", "weight": "wt", "year": "yr",
}  # fmt: skip
JOINS = (
    "snake",
    "snake",
    "title",
    "camel",
    "pascal",
    "upper",
    "space",
    "kebab",
    "mixed",
    "snake",
    "title",
    "flat",
)
UNITS = ("cm", "kg", "eur", "usd", "pct", "years", "days", "mm", "code", "txt", "val", "1")


@dataclass(frozen=True, slots=True)
class NameStyle:
    """How a system writes its headers."""

    join: str
    abbreviates: float
    """Share of the words that are abbreviated."""
    way: str
    """`usual`, `vowels`, `start` or `initials`."""
    prefix: str
    adds: float
    """Share of the headers that have a word more, such as a unit."""

    @classmethod
    def some(cls, random: Random, subject: str, *, is_clean: bool = False) -> NameStyle:
        abbreviates = 0.0 if is_clean else random.choice((0.0, 0.0, 0.0, 0.2, 0.6))
        way = random.choice(("usual", "usual", "usual", "usual", "vowels", "start"))
        prefix = random.choice(("", "", "", "", "", "", subject, subject[:3]))
        adds = 0.0 if is_clean else random.choice((0.0, 0.0, 0.0, 0.1))
        join = "snake" if is_clean else random.choice(JOINS)
        return cls(join, abbreviates, way, "" if is_clean else prefix, adds)


def header(name: str, style: NameStyle, random: Random) -> str:
    """Return the name as a header of that style."""
    words = name.split()
    if len(words) > 2 and style.way == "initials":
        words = ["".join(word[0] for word in words)]
    words = [
        _short(word, style.way) if random.random() < style.abbreviates else word for word in words
    ]
    if random.random() < style.adds:
        words.append(random.choice(UNITS))
    if style.prefix:
        words.insert(0, style.prefix)
    return _joined(words, style.join)


def _short(word: str, way: str) -> str:
    if way == "vowels" and len(word) > 3:
        return word[0] + re.sub("[aeiou]", "", word[1:])
    if way == "start" and len(word) > 4:
        return word[:3] if len(word) < 8 else word[:4]
    if way == "usual":
        return SHORT.get(word, word)
    return word


def _joined(words: list[str], join: str) -> str:
    title = [word if word.isupper() or not word.islower() else word.capitalize() for word in words]
    if join == "title":
        return " ".join(title)
    if join == "camel":
        return words[0] + "".join(title[1:])
    if join == "pascal":
        return "".join(title)
    if join == "mixed":
        return "_".join(title)
    between = {"snake": "_", "upper": "_", "space": " ", "kebab": "-", "flat": ""}[join]
    text = between.join(words)
    return text.upper() if join == "upper" else text
