"""docs/processors.md works as written."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import Databases
from tests.forks import Server
from tests.harness import ROOT, Api


def test_the_processor_of_the_page_runs(databases: Databases, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "processors.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "shout.py").write_text(block)
    (named,) = re.findall(r"PROCESSORS=(\S+)", page)
    storage = tmp_path / "storage"
    server = Server(databases.create(storage), storage, PROCESSORS=named, PYTHONPATH=tmp_path).start()
    try:
        with server.client() as client:
            api = Api(client)
            status = api.run(b"name\nhi\nyou\n", processor="shout")
            assert status["columns"] == ["name", "shout"]
            assert status["summary"] == {"shouted": 2}
            assert api.rows(status["file_id"]) == [(1, ["hi", "HI!"]), (2, ["you", "YOU!"])]
            assert api.proof(status["file_id"])["closes"]
    finally:
        server.stop()
