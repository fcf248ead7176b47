"""The rooms of docs/architecture.md: each layer imports only what lies below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.harness import ROOT

APP = ROOT / "app"
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "states": set(),
    "config": {"errors"},
    "failpoints": {"errors"},
    "terminal": set(),
    "telemetry": {"config"},
    "formats": {"errors"},
    "embeddings": {"errors"},
    "schemas": {"errors"},
    "profiling": {"errors"},
    "matching": {"profiling", "errors"},
    "transform": {"errors"},
    "clients": {"errors", "failpoints"},
    "processors": {"transform", "clients", "formats", "schemas", "embeddings", "profiling", "matching", "errors"},
    "model_service": {"processors"},
    "sources": {"formats", "errors", "failpoints"},
    "db": {"formats", "states", "errors", "config", "telemetry",
    },
    "sinks": {"formats", "db"},
    "pipeline": {
        "transform",
        "formats", "processors", "schemas", "embeddings", "sources", "sinks", "db", "states", "errors", "config",
        "failpoints", "telemetry",
    },
    "jobs": {
        "transform",
        "pipeline", "clients", "formats", "processors", "embeddings", "sources", "db", "states", "errors", "config",
        "failpoints", "telemetry",
    },
    "cli": {
        "batch", "worker", "main", "terminal",
        "pipeline", "jobs", "model_service", "processors", "embeddings", "sources", "db", "errors",
        "config",
    },
    "plugins": {"clients", "processors", "embeddings", "config"},
    "wiring": {
        "plugins",
        "jobs", "clients", "pipeline", "processors", "embeddings", "sources", "db", "errors", "config", "failpoints",
        "telemetry",
    },
    "worker": {"api", "wiring", "pipeline", "config", "telemetry"},
    "batch": {"wiring", "jobs", "pipeline", "db", "states", "errors", "config", "terminal"},
    "api": {
        "wiring",
        "transform",
        "jobs", "clients", "pipeline", "formats", "processors", "schemas", "embeddings", "sources", "db", "states", "errors",
        "config", "telemetry",
    },
}  # fmt: skip
DOORS_MAY_SEE_OF_DB = {
    "app.db.engine",
    "app.db.installation",
    "app.db.jobs",
    "app.db.migrations",
    "app.db.records",
    "app.db.webhooks",
}


def modules() -> list[Path]:
    return sorted(p for p in APP.rglob("*.py") if p.parent != APP or p.stem in LAYERS)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("app"):
            found |= {f"{node.module}.{alias.name}" if node.module == "app" else node.module for alias in node.names}
            if node.module.count(".") == 1:
                found |= {f"{node.module}.{alias.name}" for alias in node.names if (APP / node.module[4:]).is_dir()}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(APP)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    layer = path.relative_to(APP).parts[0].removesuffix(".py")
    for module in imports(path):
        room = module.split(".")[1]
        if room == "__version__":
            continue
        assert room == layer or room in LAYERS[layer], f"{layer} must not import {module}"


@pytest.mark.parametrize("path", sorted((APP / "api").glob("*.py")), ids=lambda p: p.name)
def test_doors_hold_no_sql(path: Path) -> None:
    assert "sqlalchemy" not in path.read_text()
    seen = {m for m in imports(path) if m.startswith("app.db.")}
    assert seen <= DOORS_MAY_SEE_OF_DB, seen


def test_processors_and_formats_do_no_input_or_output() -> None:
    for folder in ("formats", "processors"):
        for path in (APP / folder).glob("*.py"):
            names = {
                (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else alias.name.split(".")[0]
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert not names & {"sqlalchemy", "os", "pathlib", "asyncio", "httpx", "aiofiles", "socket"}, path


def test_who_makes_jobs_asks_the_limits_of_their_owner() -> None:
    makers = [path for path in APP.rglob("*.py") if "jobs.insert_job(" in path.read_text()]
    assert makers
    assert not [path for path in makers if "limits.admit(" not in path.read_text()]


def test_what_doors_depend_on_are_coroutines() -> None:
    """FastAPI would call a function in a thread, for each request."""
    trees = [ast.parse(path.read_text()) for path in (APP / "api").glob("*.py")]
    calls = [
        n
        for tree in trees
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Depends"
    ]
    wanted = {ast.unparse(call.args[0]) for call in calls}
    assert {"services", "owner", "single_values"} <= wanted
    coroutines = {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef)}
    assert not wanted - coroutines


def test_only_doors_need_a_web_server() -> None:
    """So that the pipeline, which is started by cron, need not load one."""
    web = [p for p in APP.rglob("*.py") if "from fastapi" in p.read_text() or "from starlette" in p.read_text()]
    rooms = {p.relative_to(APP).parts[0] for p in web}
    assert rooms == {"api", "main.py", "worker.py", "model_service"}
