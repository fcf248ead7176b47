"""What the pragmas of SQLite do not say, from the statements that made a table or an index.

SQLite has accepted these statements, so they are well formed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space> \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<name> "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | [^\W\d][\w$]* )
    | (?P<text> '(?:[^']|'')*' )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    depth: int
    """How many parentheses are open before it; a closing one is as deep as the one it closes."""

    def is_word(self, word: str) -> bool:
        return self.kind == "name" and self.text.upper() == word

    @property
    def identifier(self) -> str:
        text = self.text
        if text[0] in '"`':
            return text[1:-1].replace(text[0] * 2, text[0])
        if text[0] == "'":
            return text[1:-1].replace("''", "'")
        return text[1:-1] if text[0] == "[" else text


@dataclass(frozen=True, slots=True)
class IndexTerms:
    terms: tuple[str, ...]
    """Columns and expressions, as they are written."""
    predicate: str
    """Empty if the index is not partial."""


def checks_of(create_table: str) -> list[tuple[str, str]]:
    """Return (name or "", condition) of each CHECK of a table or of its columns, in their order."""
    tokens = list(_tokens(create_table))
    checks = []
    for place, token in enumerate(tokens):
        if not token.is_word("CHECK"):  # a column of this name is in quotes
            continue
        begin = tokens[place + 1]
        end = next(t for t in tokens[place + 2 :] if t.text == ")" and t.depth == begin.depth)
        condition = create_table[begin.end : end.start].strip()
        checks.append((_name_before(tokens, place), condition))
    return checks


def _name_before(tokens: Sequence[_Token], place: int) -> str:
    is_named = place >= 2 and tokens[place - 2].is_word("CONSTRAINT")
    return tokens[place - 1].identifier if is_named else ""


def index_terms_of(create_index: str) -> IndexTerms:
    tokens = list(_tokens(create_index))
    begin = next(token for token in tokens if token.text == "(")
    end = next(token for token in tokens if token.text == ")" and token.depth == 0)
    inner = [t for t in tokens if begin.start < t.start < end.start]
    cuts = [token.start for token in inner if token.text == "," and token.depth == 1]
    starts = [begin.end, *(cut + 1 for cut in cuts)]
    ends = [*cuts, end.start]
    terms = [create_index[a:b].strip() for a, b in zip(starts, ends, strict=True)]
    after = [token for token in tokens if token.start > end.start]
    predicate = ""
    if after and after[0].is_word("WHERE"):
        predicate = create_index[after[0].end :].strip()
    return IndexTerms(tuple(terms), predicate)


def _tokens(statement: str) -> Iterator[_Token]:
    depth = 0
    for match in _TOKEN.finditer(statement):
        kind, text = match.lastgroup or "", match.group()
        if kind == "space":
            continue
        if text == ")":
            depth -= 1
        yield _Token(kind, text, match.start(), match.end(), depth)
        if text == "(":
            depth += 1
