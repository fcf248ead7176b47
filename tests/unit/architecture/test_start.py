"""Modules that a start does not import: imports take most of the time until the service is
ready.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.data_files import ALEMBIC_INI
from app.db import migrations
from tests.harness import ROOT

NOT_AT_THE_START = {
    "aiohttp", "alembic", "botocore", "httpx", "markdown_it", "obstore", "onnxruntime", "procrastinate", "pyarrow",
    "pygments", "rapidfuzz", "scipy", "sklearn", "tokenizers", "typer", "vaderSentiment",
}  # fmt: skip
SAY_WHAT_IS_LOADED = "print(*sorted(name for name in sys.modules if '.' not in name))"


@pytest.mark.parametrize("module", ["app.main", "app.worker"])
def test_optional_packages_are_not_imported_at_startup(module: str) -> None:
    code = f"import sys, {module}; {SAY_WHAT_IS_LOADED}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not NOT_AT_THE_START & set(done.stdout.split())


def test_garbage_is_collected_again_once_the_service_is_loaded() -> None:
    code = "import app.main, gc; print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_the_newest_revision_is_that_of_alembic() -> None:
    directory = ScriptDirectory.from_config(Config(str(ALEMBIC_INI)))
    assert migrations.head() == directory.get_current_head()
