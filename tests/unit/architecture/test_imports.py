"""Rules of imports: the core imports the core, downwards; a feature imports the core
and what another feature exports; nothing else imports a feature.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from sqlalchemy import JSON

from app.db.models import Base
from app.features import FEATURES
from app.processors.tables import KeyedTable
from tests.unit.architecture.imports import APP, MODULES, imports, imports_of, name_of, nodes

LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "states": set(),
    "terminal": set(),
    "config": {"errors"},
    "failpoints": {"errors"},
    "telemetry": {"config"},
    "clients": set(),
    "decoders": {"formats", "errors"},
    "formats": {"errors"},
    "embeddings": {"errors"},
    "schemas": {"errors"},
    "profiling": {"formats", "errors"},
    "processors": {"formats", "schemas", "errors"},
    "sources": {"clients", "decoders", "formats", "errors", "failpoints"},
    "db": {"formats", "states", "errors", "config", "telemetry"},
    "destinations": {"formats", "processors", "sources", "db", "states", "errors", "failpoints"},
    "pipeline": {
        "formats", "processors", "schemas", "sources", "destinations", "db", "states", "errors", "config",
        "failpoints", "telemetry",
    },
    "jobs": {
        "pipeline", "decoders", "formats", "processors", "sources", "destinations", "db", "states", "errors", "config",
        "failpoints", "telemetry",
    },
    "feature": {"config", "destinations", "embeddings", "jobs", "processors", "wiring"},
    "plugins": {"feature", "features", "processors", "destinations", "embeddings", "config"},
    "wiring": {
        "feature", "features", "plugins", "jobs", "pipeline", "processors", "embeddings", "destinations", "sources", "db",
        "errors", "config", "failpoints", "telemetry",
    },
    "worker": {"api", "wiring", "pipeline", "config", "telemetry"},
    "batch": {"wiring", "jobs", "pipeline", "db", "states", "errors", "config", "terminal"},
    "api": {
        "features", "wiring", "jobs", "pipeline", "decoders", "formats", "processors", "schemas", "sources", "db",
        "states", "errors", "config", "telemetry",
    },
    "main": {"api", "features", "wiring", "pipeline", "config", "errors", "telemetry"},
    "cli": {
        "features", "plugins", "batch", "worker", "main", "terminal", "pipeline", "jobs", "processors", "embeddings",
        "sources", "db", "errors", "config",
    },
    "__main__": {"cli"},
}  # fmt: skip
"""What each package of the core may import. `features` is the list of features; its contents are
below.
"""
FOR_ALL = {"lazy", "loading", "extras", "data_files", "setting_names", "suggestions"}
"""Packages that import nothing of ours."""
FOR_FEATURES = set(LAYERS) - {"main", "plugins", "worker", "cli", "__main__"}
COMMANDS_MAY_SEE = {"cli"}
ENDPOINTS_MAY_SEE_OF_DB = {"app.db.engine", "app.db.jobs", "app.db.migrations"}
WRITE_SQL = ("app.db.", "app.destinations.", "app.pipeline.shared_queue")
"""The last one reads the tables of another library."""
STATEMENTS = {"select", "insert", "update", "delete", "text", "func", "exists", "case"}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def feature_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[2] if len(parts) > 2 and parts[1] == "features" else None


def exported(feature: str) -> set[str]:
    """Return the names in `__all__` of the feature's package."""
    for node in ast.parse(MODULES[f"app.features.{feature}"].read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def problem(importer: str, imported: str) -> str | None:
    """Return the rule that this import breaks; None if it is allowed."""
    mine, theirs = feature_of(importer), feature_of(imported)
    if room_of(imported) in ("", "__version__") or room_of(imported) in FOR_ALL:
        return None
    if theirs is not None:
        return _problem_with_feature(importer, imported, mine, theirs)
    if mine is not None:
        allowed = FOR_FEATURES | (COMMANDS_MAY_SEE if importer.endswith(".commands") else set())
        return None if room_of(imported) in allowed else f"a feature must not import {imported}"
    layer = room_of(importer)
    if layer in FOR_ALL:
        return f"{layer} must not import {imported}"
    if layer == "features" or layer == room_of(imported) or room_of(imported) in LAYERS[layer]:
        return None
    return f"{layer} must not import {imported}"


def _problem_with_feature(
    importer: str, imported: str, mine: str | None, theirs: str
) -> str | None:
    if mine == theirs:
        return None
    if importer == "app.features":  # the list
        return (
            None
            if imported == f"app.features.{theirs}.feature"
            else "the list names features, and nothing of them"
        )
    if mine is None:
        return f"only features import features, and this is {imported}"
    rest = imported.removeprefix(f"app.features.{theirs}").lstrip(".")
    if rest and rest.split(".")[0] not in exported(theirs):
        return f"{imported} is not in __all__ of app.features.{theirs}"
    return None


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_it_may(module: str) -> None:
    problems = {imported: problem(module, imported) for imported in imports(MODULES[module])}
    assert {imported: why for imported, why in problems.items() if why is not None} == {}


@pytest.mark.parametrize(
    ("source", "module", "found"),
    [
        ("import app.features.undo.service", "app.db.jobs", {"app.features.undo.service"}),
        ("import app.features.undo.service as s", "app.db.jobs", {"app.features.undo.service"}),
        ("from app.features.undo import service", "app.db.jobs", {"app.features.undo.service"}),
        (
            "from app.features.undo.service import Undos",
            "app.db.jobs",
            {"app.features.undo.service"},
        ),
        ("from app.features import undo", "app.db.jobs", {"app.features.undo"}),
        ("from ..features.undo import service", "app.db.jobs", {"app.features.undo.service"}),
        ("from . import chunks", "app.db.jobs", {"app.db.chunks"}),
        (
            "def late():\n    from app.features.undo import service",
            "app.db.jobs",
            {"app.features.undo.service"},
        ),
        (
            "import importlib\nimportlib.import_module('app.features.undo')",
            "app.db.jobs",
            {"app.features.undo"},
        ),
        ("import os\nimport application", "app.db.jobs", set()),
    ],
)
def test_every_form_of_import_is_seen(source: str, module: str, found: set[str]) -> None:
    assert imports_of(source, module) == found


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("app.pipeline.finisher", "app.features.transform.run"),
        ("app.api.errors", "app.features.files.endpoints"),
        ("app.features.mapping.match", "app.features.transform.assemble"),
        ("app.features.mapping.match", "app.cli.main"),
        ("app.formats.csv", "app.db.jobs"),
        ("app.main", "app.features.files.endpoints"),
    ],
)
def test_forbidden_imports_are_reported(importer: str, imported: str) -> None:
    assert problem(importer, imported) is not None


def test_every_package_of_features_is_in_the_list() -> None:
    packages = {
        path.name for path in (APP / "features").iterdir() if (path / "__init__.py").exists()
    }
    assert {feature.name for feature in FEATURES} == packages


def test_listing_the_features_imports_no_heavy_package() -> None:
    """Every process reads the list, even compute processes."""
    heavy = ("fastapi", "sqlalchemy", "pydantic", "numpy", "pyarrow", "typer", "aiohttp")
    for feature in FEATURES:
        tree = ast.parse(MODULES[f"app.features.{feature.name}.feature"].read_text())
        at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in at_once
        }
        assert not [name for name in names if name.split(".")[0] in heavy], feature.name


def endpoints() -> list[Path]:
    return [*(APP / "api").glob("*.py"), *(APP / "features").glob("*/endpoints.py")]


@pytest.mark.parametrize("path", endpoints(), ids=name_of)
def test_endpoints_hold_no_sql(path: Path) -> None:
    assert "sqlalchemy" not in path.read_text()
    if path.parent.name != "api":
        seen = {module for module in imports(path) if module.startswith("app.db.")}
        assert seen <= ENDPOINTS_MAY_SEE_OF_DB, seen


def test_the_core_names_no_table_of_a_feature() -> None:
    """It uses the destinations that the features register, so a further table needs no change in
    the core.
    """
    tables = {table.name for feature in FEATURES for table in feature.tables}
    tables |= {
        table.versions
        for feature in FEATURES
        for table in feature.tables
        if isinstance(table, KeyedTable)
    }
    assert tables >= {"records", "vector_tasks", "predictions", "prediction_versions"}
    models = {
        mapper.class_.__name__
        for mapper in Base.registry.mappers
        if mapper.class_.__tablename__ in tables
    }
    assert len(models) == len(tables)
    for module, path in MODULES.items():
        if feature_of(module) is None and module != "app.db.models":
            names = {node.id for node in nodes(path) if isinstance(node, ast.Name)}
            imported = {
                alias.name
                for node in nodes(path)
                if isinstance(node, ast.ImportFrom) and node.module == "app.db.models"
                for alias in node.names
            }
            assert not (names & imported & models), module


@pytest.mark.parametrize("module", MODULES)
def test_sql_is_written_in_db_and_in_queries(module: str) -> None:
    if module.startswith(WRITE_SQL) or module.endswith((".queries", ".halfvecs", ".words")):
        return
    for node in nodes(MODULES[module]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
            assert not {alias.name for alias in node.names} & STATEMENTS


def test_processors_and_formats_do_no_io() -> None:
    paths = [*(APP / "formats").glob("*.py"), *(APP / "processors").glob("*.py")]
    for path in paths:
        names = {
            (
                (node.module or "").split(".")[0]
                if isinstance(node, ast.ImportFrom)
                else alias.name.split(".")[0]
            )
            for node in nodes(path)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not names & {
            "sqlalchemy",
            "os",
            "pathlib",
            "asyncio",
            "httpx",
            "aiofiles",
            "socket",
        }, path


def test_only_the_factory_creates_jobs() -> None:
    """It checks the limits of the owner first, and enqueues the job."""
    callers = {name_of(path): called(path) for path in APP.rglob("*.py")}
    inserting = {module for module, names in callers.items() if "insert_job" in names}
    of_rows = {name_of(path) for path in APP.rglob("*.py") if imports_new_job(path)}
    making = {module for module, names in callers.items() if "NewJob" in names} & of_rows
    assert inserting == making == {"app.jobs.factory"}


def imports_new_job(path: Path) -> bool:
    """The row NewJob; a request to POST /api/v1/jobs has the same name."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "app.db.rows"
        and "NewJob" in {alias.name for alias in node.names}
        for node in nodes(path)
    )


def called(path: Path) -> set[str]:
    """Return the names of the functions and methods that a module calls."""
    calls = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
    return {
        func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls
    }


def test_dependencies_of_endpoints_are_coroutines() -> None:
    """FastAPI would call a plain function in a thread, for each request."""
    all_nodes = [node for path in endpoints() for node in nodes(path)]
    calls = [
        n for n in all_nodes if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Depends"
    ]
    wanted = {ast.unparse(call.args[0]) for call in calls}
    assert {"services", "owner", "checked_query"} <= wanted
    coroutines = {n.name for n in all_nodes if isinstance(n, ast.AsyncFunctionDef)}
    assert not wanted - coroutines


def test_only_endpoints_import_the_web_framework() -> None:
    """The pipeline, which cron starts, need not load a web framework."""
    web = {
        name_of(p)
        for p in APP.rglob("*.py")
        if "from fastapi" in p.read_text() or "from starlette" in p.read_text()
    }
    of_core = {module for module in web if not module.startswith(("app.api.", "app.features."))}
    assert of_core == {"app.feature", "app.main", "app.worker"}  # the first only names the type
    of_features = {module for module in web if module.startswith("app.features.")}
    assert {module.rpartition(".")[2] for module in of_features} <= {
        "endpoints",
        "stored",
        "service",
    }


def test_queries_return_structs() -> None:
    """The names in a mapping are those of its statement, and nothing checks them."""
    for path in APP.rglob("*.py"):
        imported = {
            alias.name
            for node in nodes(path)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert "RowMapping" not in imported, path
        assert "mappings" not in called(path), path


JSON_RESULTS = {
    ("app.db.rows", "values_of"),
    ("app.db.rows", "changes_of"),
    ("app.db.chunks", "summaries"),
    ("app.db.chunks", "summaries_after"),
    ("app.db.undo", "body"),
}
"""Functions that return JSON documents; the first two are part of larger SQL."""
JSON_PARAMETERS = {("app.features.imports.queries", "fields")}
"""Documents that are in no column of this name: the values that a search binds."""


def json_columns() -> set[str]:
    columns = [column for table in Base.metadata.tables.values() for column in table.columns]
    return {column.name for column in columns if isinstance(column.type, JSON)}


def holds_documents(annotation: ast.expr | None) -> bool:
    text = "" if annotation is None else ast.unparse(annotation)
    return "dict[str, Any]" in text or "Mapping[str, Any]" in text


def untyped(module: str, source: str) -> set[str]:
    """Return the places where a module that writes SQL takes or returns undeclared names that are
    no JSON document: a parameter or field that is not named like a JSON column, a return value.
    """
    documents = json_columns()
    problems: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names: dict[str, ast.expr | None] = {}
        if isinstance(node, ast.ClassDef):
            fields = [line for line in node.body if isinstance(line, ast.AnnAssign)]
            names = {ast.unparse(field.target): field.annotation for field in fields}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = {argument.arg: argument.annotation for argument in arguments}
            is_private = node.name.startswith("_")
            is_known = is_private or (module, node.name) in JSON_RESULTS
            if holds_documents(node.returns) and not is_known:
                problems.add(f"{node.name} -> {ast.unparse(node.returns or node)}")
        problems |= {
            name
            for name, annotation in names.items()
            if holds_documents(annotation)
            and name not in documents
            and (module, name) not in JSON_PARAMETERS
        }
    return problems


def test_written_values_use_declared_names() -> None:
    """Columns are changed by parameters and structs, so that no name can be wrong; values passed on
    unchanged are JSON documents, under the names of their columns.
    """
    bind = {"values"}  # calls of statements, in the functions that run them
    for module, path in MODULES.items():
        if not module.startswith("app.db.") and not module.endswith(".queries"):
            continue
        allowed = bind if module == "app.db.rows" else set()
        assert untyped(module, path.read_text()) <= allowed, module


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ("def change(values: dict[str, Any]) -> None: ...", {"values"}),
        ("async def change(*, counts: Mapping[str, Any] | None) -> None: ...", {"counts"}),
        ("def complete(rows: Sequence[dict[str, Any]]) -> None: ...", {"rows"}),
        ("class New:\n    columns_by_name: dict[str, Any]", {"columns_by_name"}),
        ("def find() -> list[dict[str, Any]]: ...", {"find -> list[dict[str, Any]]"}),
        ("def finish(summary: dict[str, Any]) -> None: ...", set()),
    ],
)
def test_undeclared_column_names_are_reported(source: str, problems: set[str]) -> None:
    assert untyped("app.db.jobs", source) == problems
