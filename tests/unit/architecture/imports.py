"""Every module that a module of the application imports, in any form of import."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.harness import ROOT

APP = ROOT / "app"


def name_of(path: Path) -> str:
    """Return `app.db.jobs` for app/db/jobs.py."""
    parts = path.relative_to(APP.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(APP.rglob("*.py"))}


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of the module, which many tests read."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def imports(path: Path) -> set[str]:
    """Return the imported names under `app`: modules, or packages if a name of the package itself
    is imported.
    """
    return _imports(nodes(path), name_of(path), is_package=path.name == "__init__.py")


def imports_of(source: str, module: str) -> set[str]:
    """Return those of a module with this source."""
    return _imports(ast.walk(ast.parse(source)), module, is_package=False)


def _imports(nodes: Iterable[ast.AST], module: str, *, is_package: bool) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        found |= set(_named(node, module if is_package else module.rpartition(".")[0]))
    return {name for name in found if name == "app" or name.startswith("app.")}


def _named(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        base = _base(node, package)
        for alias in node.names:
            full = f"{base}.{alias.name}"
            yield full if full in MODULES or _is_package(full) else base
    if isinstance(node, ast.Call) and _is_dynamic(node.func):
        for argument in node.args[:1]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = ".".join(parts[: len(parts) - node.level + 1])
    return f"{above}.{node.module}" if node.module else above


def _is_package(name: str) -> bool:
    return (APP.parent / name.replace(".", "/")).is_dir()


def _is_dynamic(function: ast.expr) -> bool:
    names = {"import_module", "__import__"}
    return (isinstance(function, ast.Name) and function.id in names) or (
        isinstance(function, ast.Attribute) and function.attr in names
    )
