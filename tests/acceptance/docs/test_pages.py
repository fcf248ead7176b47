"""The examples of the pages run as written: each ```bash block in a shell, each ```python block in
Python, each ```js block in a browser, in order, in one folder, against a real server started by the
command of the page. A following ```text block must be in the output; a line `…` stands for
anything.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness import ROOT, wait_until

HERE = "http://localhost:8000"
PAGES = (
    "../README.md",
    "README.md",
    "tutorial.md",
    "client.md",
    "howto/api-recipes.md",
    "howto/find-similar-records.md",
    "howto/fix-with-a-colleague.md",
    "howto/load-a-dirty-csv.md",
    "howto/load-what-arrives.md",
    "howto/load-json-and-xml.md",
    "howto/map-a-suppliers-file.md",
    "howto/a-monthly-price-list.md",
    "howto/move-from-celery.md",
    "howto/move-from-flatfile.md",
    "howto/move-from-pgloader.md",
)


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path
) -> Iterator[dict[str, str]]:
    """Environment of a reader with a running service and the activated .venv."""
    folder = tmp_path_factory.mktemp("pages")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "STORAGE_DIR": str(folder),
        "DATABASE_URL": "", "MIN_FREE_DISK_MB": "0", "EMBEDDING_MODEL_DIR": str(model_dir.resolve()),
        "SOURCE_FOLDERS": str(tmp_path_factory.getbasetemp()),
        "GRANULA_URL": f"http://localhost:{port}", "GRANULA_KEY": "", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    (serve,) = re.findall(
        r"^python (-m app serve)$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *serve.split(), "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **ours},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: process.poll() is not None or _is_ready(port), 60, "server ready")
        assert process.poll() is None, (folder / "log").read_text()
        yield {**os.environ, **ours}
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_work(
    page: str, environment: dict[str, str], tmp_path: Path
) -> None:
    text = (ROOT / "docs" / page).read_text().replace(HERE, environment["GRANULA_URL"])
    blocks = re.findall(r"```(bash|python|js|text)\n(.*?)```", text, re.DOTALL)
    assert blocks
    # One shell runs the whole page, as a reader's does: variables persist. A mark separates the
    # output of the blocks.
    commands = [_command(kind, block) for kind, block in blocks if kind != "text"]
    script = "\n".join(
        f"{block}\nprintf '\\n--- end of block {number}\\n'"
        for number, block in enumerate(commands)
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        timeout=110,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    printed = iter(re.split(r"\n--- end of block \d+\n", done.stdout))
    output = ""
    for kind, block in blocks:
        if kind != "text":
            output = next(printed)
        else:
            for expected in block.strip("\n").split("\n…\n"):
                wanted = " ".join(expected.split())
                assert wanted in " ".join(output.split()), (
                    f"{shlex.quote(expected)} is not in:\n{output}"
                )


def _command(kind: str, block: str) -> str:
    """Quote for the shell."""
    programs = {"python": "python -", "js": "python -m tests.acceptance.docs.javascript"}
    if kind in programs:
        return f"{programs[kind]} <<'END OF BLOCK'\n{block}END OF BLOCK"
    return block


def test_every_page_is_in_the_index_and_every_link_works() -> None:
    docs = ROOT / "docs"
    linked = set()
    for page in [*docs.rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)", page.read_text()):
            found = (page.parent / target).resolve()
            assert found.exists(), f"{page.relative_to(ROOT)} links to {target}"
            if page == docs / "README.md":
                linked.add(found)
    elsewhere = {
        docs / "README.md",
        *(docs / "errors").glob("*.md"),
        *(docs / "decisions").glob("*.md"),
    }
    assert not [
        str(p.relative_to(docs))
        for p in docs.rglob("*.md")
        if p.resolve() not in linked and p not in elsewhere
    ]
