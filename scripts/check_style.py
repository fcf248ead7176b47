"""Check the words of docs/style.md: in docstrings, comments, names of app, and pages.

Prints a line for each finding, and exits with 1 if there is one.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
METAPHORS = re.compile(
    r"\b(?:doors?|rooms? of|told(?! from| apart)|aside|goes on|go on|going on"
    r"|lies? (?:in|on|where|there|beside))\b"
)
NOT_A_SENTENCE = re.compile(r"(?:Of|Whose|Whom|Those|Who|Which|Such|That it|That they|As far as)\b")
"""First words of a docstring that needs the line above it to be understood."""
EMPTY_NAMES = frozenset({"found", "given", "made", "told"})


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def check_module(path: str, source: str) -> Iterator[Finding]:
    """Yield the findings in the docstrings, comments and names of a Python module."""
    tree = ast.parse(source)
    for line, text in _docstrings(tree):
        if NOT_A_SENTENCE.match(text):
            yield Finding(path, line, f"a docstring begins with {text.split()[0]!r}")
        yield from _metaphors(path, line, text)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from _metaphors(path, token.start[0], token.string)
    for node in ast.walk(tree):
        name = _new_name(node)
        if name in EMPTY_NAMES and path.startswith("app/"):
            yield Finding(path, getattr(node, "lineno", 0), f"the name {name!r} says nothing")


def check_page(path: str, text: str) -> Iterator[Finding]:
    """Yield the findings in a Markdown page. Blocks of code are left out."""
    is_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield from _metaphors(path, number, line)


def check_tree(root: Path = ROOT) -> list[Finding]:
    """Return the findings in app, granula, scripts and docs, sorted."""
    findings: list[Finding] = []
    for folder in ("app", "granula", "scripts"):
        for file in (root / folder).rglob("*.py"):
            path = file.relative_to(root).as_posix()
            findings += check_module(path, file.read_text())
    for file in (root / "docs").rglob("*.md"):
        path = file.relative_to(root).as_posix()
        if path != "docs/style.md" and not path.startswith("docs/reference"):
            findings += check_page(path, file.read_text())
    return sorted(findings)


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in node.body:
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value.strip()


def _metaphors(path: str, line: int, text: str) -> Iterator[Finding]:
    for word in dict.fromkeys(METAPHORS.findall(re.sub(r"`[^`]*`", "", text))):
        yield Finding(path, line, f"{word!r} is a private metaphor")


def _new_name(node: ast.AST) -> str:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    return node.arg if isinstance(node, ast.arg) else ""


def main() -> int:
    findings = check_tree()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
