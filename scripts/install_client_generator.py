"""Find or install openapi-python-client, which generates a client from the OpenAPI document for its
test.

    python scripts/install_client_generator.py

Uses GRANULA_CLIENT_GENERATOR, the one on the PATH, or the one in `storage/tools`. Otherwise
installs the versions of `requirements-client.txt` there, in a separate environment. The exit code
is 0 if there is a generator now, 1 if not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "storage" / "tools" / "client-generator"
PROGRAM = "openapi-python-client"


def find() -> str | None:
    """Return the path of a generator, or None."""
    if named := os.environ.get("GRANULA_CLIENT_GENERATOR"):
        return named
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path=str(FOLDER / "bin"))


def main() -> int:
    if find():
        return 0
    print(f"Installing {PROGRAM} ...", flush=True)
    uv = str(Path(sys.executable).with_name("uv"))
    requirements = ROOT / "requirements-client.txt"
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER],
        [
            uv,
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--python",
            FOLDER / "bin" / "python",
            requirements,
        ],
    )
    for command in commands:
        if subprocess.run(command, check=False).returncode:
            print(
                f"{PROGRAM} was not installed. Name one by GRANULA_CLIENT_GENERATOR.",
                file=sys.stderr,
            )
            return 1
    print(f"{PROGRAM}: {find()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
