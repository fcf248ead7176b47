"""Write the parts of docs/ that are generated from the code: the commands, the routes, the
settings, and the frame of each error page (causes and remedies are written by hand). A test
compares them.

    python scripts/make_reference.py            after a change of commands, routes or settings
    python scripts/make_reference.py --check    list outdated files; exit code 1 if there are any
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PROBLEM = "application/problem+json"
FORMATS = {"uuid": "UUID", "date-time": "moment"}
WHY, CURE = "## Why it happens", "## What to do"


def commands() -> str:
    """Return a table of options for each command."""
    os.environ.pop("GRANULA_URL", None)
    import typer.main

    from app.cli.main import app

    group: Any = typer.main.get_command(app)
    return "\n\n".join(_command(name, command) for name, command in _leaves(group, ""))


def _leaves(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _command(name: str, command: Any) -> str:
    first = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    lines = [f"### {name}", "", first, "", "| | |", "|---|---|"]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_argument = parameter.param_type_name == "argument"
        names = (
            parameter.metavar or parameter.name.upper()
            if is_argument
            else ", ".join(parameter.opts)
        )
        if parameter.secondary_opts:
            names += f", {', '.join(parameter.secondary_opts)}"
        default = parameter.default
        shown = (
            f" (`{default}`)"
            if default not in (None, False, True, "", ...) and not callable(default)
            else ""
        )
        lines.append(f"| `{names}` | {_cell(getattr(parameter, 'help', None) or '')}{shown} |")
    return "\n".join(lines)


def settings() -> str:
    """Return all settings with their descriptions from the code."""
    from app.config import Settings

    tree = ast.parse((ROOT / "app" / "config.py").read_text())
    (body,) = (
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    said: dict[str, str] = {}
    for node, following in pairwise(body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(following, ast.Expr)
            and isinstance(node.target, ast.Name)
        ):
            said[node.target.id] = inspect.cleandoc(ast.literal_eval(following.value)).replace(
                "\n", " "
            )
    lines = [
        "# Settings",
        "",
        "Made from the code. They are environment variables, or lines of a file `.env`. Each name may begin",
        "with `GRANULA_`, except for `KEY`: `GRANULA_MAX_UPLOAD_MB` is `MAX_UPLOAD_MB` and goes before it.",
        "The service warns at its start, as does `python -m app doctor`, about a name that is nearly one of",
        "these.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if hasattr(default, "get_secret_value"):
            default = default.get_secret_value()
        text = (
            ",".join(map(str, default))
            if isinstance(default, tuple)
            else str(default).lower()
            if isinstance(default, bool)
            else str(default)
        )
        limits = ", ".join(_limits(field.metadata))
        meaning = said.get(name, "") + (f" ({limits})" if limits else "")
        lines.append(
            f"| `{name.upper()}` | {f'`{_cell(text)}`' if text else 'none'} | {_cell(meaning)} |"
        )
    return "\n".join(lines) + "\n"


def _limits(metadata: list[Any]) -> Iterator[str]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for each in metadata:
        for name, word in words.items():
            if (value := getattr(each, name, None)) is not None:
                yield f"{word} {value:,}".replace(",", " ")


def api() -> str:
    """Return each route with its description, parameters and responses, then the members of all
    responses.
    """
    from app.main import create_app

    document = create_app().openapi()
    lines = [
        "# Routes",
        "",
        (
            "Made from the OpenAPI document, which is at `/openapi.json`; `/docs` shows it in a"
            " browser, also without internet."
        ),
    ]
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            by_tag.setdefault(tag, []).append(_route(method.upper(), path, operation, document))
    for tag, routes in by_tag.items():
        lines += ["", f"## {tag}", "", "\n\n".join(routes)]
    lines += ["", "## What is answered", "", ANSWERS]
    schemas = document["components"]["schemas"]
    lines += [_answer(name, schemas) for name in sorted(_answered(document))]
    return "\n".join(lines) + "\n"


ANSWERS = """The objects that routes answer with. A member that is marked *sometimes* is left out where there is nothing to say;
every other one is always there, and null where its meaning says so. Moments are ISO 8601 with an offset."""


def _answered(document: dict[str, Any]) -> set[str]:
    """Return the names of the schemas of all successful responses, and of their parts."""
    names: set[str] = set()
    to_do = [
        content
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for kind, content in answer.get("content", {}).items()
        if kind != PROBLEM
    ]
    while to_do:
        new = set(_references(to_do.pop())) - names
        names |= new
        to_do += [document["components"]["schemas"][name] for name in new]
    return names


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for member in part:
            yield from _references(member)
    elif isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for member in part.values():
            yield from _references(member)


def _answer(name: str, schemas: dict[str, Any]) -> str:
    schema = schemas[name]
    description = schema.get("description", "").strip()
    lines = [
        "",
        f"### {name}",
        *(["", description] if description else []),
        "",
        "| member | type | meaning |",
        "|---|---|---|",
    ]
    for member, value in schema["properties"].items():
        kind = _cell(_type(value, is_answer=True)) + (
            "" if member in schema.get("required", ()) else ", *sometimes*"
        )
        meaning = (
            value.get("description") or schemas[value["$ref"].rpartition("/")[2]]["description"]
        )
        lines.append(f"| `{member}` | {kind} | {_cell(meaning)} |")
    return "\n".join(lines)


def _route(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    lines = [
        f"### {method} {path}",
        "",
        (operation.get("description") or operation.get("summary") or "").strip(),
    ]
    parameters = [p for p in operation.get("parameters", ()) if p["in"] != "cookie"]
    if parameters:
        lines += ["", "| parameter | where | type | meaning |", "|---|---|---|---|"]
        for parameter in parameters:
            schema = parameter.get("schema", {})
            needed = ", required" if parameter.get("required") and parameter["in"] != "path" else ""
            meaning = parameter.get("description") or schema.get("description") or ""
            lines.append(
                f"| `{parameter['name']}` | {parameter['in']}{needed} | {_cell(_type(schema))} |"
                f" {_cell(meaning)} |"
            )
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        lines += ["", f"Body: {', '.join(f'`{kind}`' for kind in content)}."]
        if "application/json" in content:
            lines += _fields(content["application/json"].get("schema", {}), document)
    return "\n".join([*lines, "", *_answers(operation["responses"])])


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    """Yield the statuses of a route, each with a link to its body."""
    shown = []
    for status, answer in responses.items():
        contents = answer.get("content", {}).items()
        types = [
            _type(_data(content), is_answer=True) for kind, content in contents if kind != PROBLEM
        ]
        links = [kind for kind in types if "[" in kind]
        shown.append(f"{status} with {' or '.join(links)}" if links else status)
    yield f"Answers: {', '.join(shown)}."


def _data(content: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the body; for a stream of events, that of the data of one event."""
    schema: dict[str, Any] = content.get("schema", {})
    of_event: dict[str, Any] = (
        schema.get("properties", {}).get("data", {}).get("contentSchema", schema)
    )
    return of_event


def _fields(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if not schema.get("properties"):
        return []
    lines = ["", "| member | type | meaning |", "|---|---|---|"]
    for name, member in schema["properties"].items():
        needed = ", required" if name in schema.get("required", ()) else ""
        lines.append(
            f"| `{name}` | {_cell(_type(member))}{needed} |"
            f" {_cell(member.get('description', ''))} |"
        )
    return lines


def _type(schema: dict[str, Any], *, is_answer: bool = False) -> str:
    """Return the type in words. For responses, nullable types and links to parts are included."""
    if "$ref" in schema:
        name = str(schema["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.lower()})" if is_answer else name
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        shown = (
            choices if is_answer else [choice for choice in choices if choice.get("type") != "null"]
        )
        return " or ".join(_type(choice, is_answer=is_answer) for choice in shown)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    text = str(schema.get("type", "any"))
    if text == "array":
        text = f"list of {_type(schema.get('items', {}), is_answer=is_answer)}"
    values = schema.get("additionalProperties")
    if is_answer and isinstance(values, dict):
        text = f"object of {_type(values, is_answer=True)}"
    if is_answer and "format" in schema:
        text = FORMATS.get(schema["format"], text)
    low, high = (
        next((schema[n] for n in names if n in schema), None)
        for names in (("minimum", "ge"), ("maximum", "le"))
    )
    if low is not None and high is not None and high < 1 << 60:
        text += f" {low} to {high}"
    default = schema.get("default")
    return text if default in (None, "") else f"{text}, default `{default}`"


def error_page(code: str, error: Any, page: str) -> str:
    """Return the page with the head and the example of the error; the rest is written by hand."""
    _, found, rest = page.partition(f"{WHY}\n")
    written, _, example = rest.partition("\n## Example\n")
    match = re.search(r"```json\n(.*?)```", example, re.DOTALL)
    detail = json.loads(match[1])["detail"] if match else f"{error.title()}."
    body = {
        "type": f"/errors/{code}",
        "title": error.title(),
        "status": error.status,
        "code": code,
        "detail": detail,
        "remedy": error.remedy,
        "instance": "/api/v1/...",
        "request_id": "4f0d8a5e7c1b4a3f9d2e6b8c0a1f2e3d",
    }
    return (
        f"# {error.title()}\n\n`{code}`, HTTP {error.status}."
        f" {error.remedy}\n\n{WHY}\n{written if found else chr(10) + CURE + chr(10)}\n##"
        f" Example\n\n```json\n{json.dumps(body, indent=2)}\n```\n"
    )


def error_pages() -> dict[Path, str]:
    from app.errors import request_errors

    paths = {
        ROOT / "docs" / "errors" / f"{code}.md": (code, error)
        for code, error in request_errors().items()
    }
    return {
        path: error_page(code, error, path.read_text() if path.exists() else "")
        for path, (code, error) in paths.items()
    }


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def made() -> dict[Path, str]:
    """Return the expected content of each file."""
    page = ROOT / "docs" / "cli.md"
    marks = "<!-- commands -->", "<!-- /commands -->"
    before, _, rest = page.read_text().partition(marks[0])
    after = rest.partition(marks[1])[2]
    return {
        page: f"{before}{marks[0]}\n{commands()}\n{marks[1]}{after}",
        ROOT / "docs" / "reference" / "settings.md": settings(),
        ROOT / "docs" / "reference" / "api.md": api(),
        **error_pages(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Write the parts of docs/ that are made from the code."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, say what is out of date"
    )
    only_check = parser.parse_args().check
    stale = {
        path: text for path, text in made().items() if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)} {'is out of date' if only_check else 'written'}")
        if not only_check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return 1 if stale and only_check else 0


if __name__ == "__main__":
    sys.exit(main())
