"""Find or install promtool, which checks and tests the alert rules in `deploy/prometheus`.

    python scripts/install_promtool.py

Uses GRANULA_PROMTOOL, the one on the PATH, or the one in `storage/tools`. Otherwise extracts it
from the package `prometheus` on Debian or Ubuntu, without installing it: no Prometheus is started.
The exit code is 0 if there is a promtool now, 1 if not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE_SECONDS = 180
FOLDER = Path(__file__).resolve().parents[1] / "storage" / "tools"


def find() -> str | None:
    """Return the path of a promtool, or None."""
    if named := os.environ.get("GRANULA_PROMTOOL"):
        return named
    return shutil.which("promtool") or shutil.which("promtool", path=str(FOLDER))


def main() -> int:
    if find():
        return 0
    print("Installing promtool ...", flush=True)
    if shutil.which("apt-get") and shutil.which("dpkg"):
        with tempfile.TemporaryDirectory(prefix="granula-promtool-") as folder:
            if not _take_out(Path(folder)) and os.geteuid() == 0:
                _is_done(["apt-get", "update", "-q"], Path(folder))
                _take_out(Path(folder))
    if found := find():
        print(f"promtool: {found}")
        return 0
    print(
        "There is no promtool. Install Prometheus' and name it by GRANULA_PROMTOOL.",
        file=sys.stderr,
    )
    return 1


def _take_out(folder: Path) -> bool:
    """Extract promtool; return whether it is installed now."""
    # apt may run as another user, which cannot write into a private folder.
    if not _is_done(
        ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "prometheus"], folder
    ):
        return False
    packages = list(folder.glob("prometheus_*.deb"))
    unpacked = folder / "unpacked"
    if not packages or not _is_done(["dpkg", "-x", str(packages[0]), str(unpacked)], folder):
        return False
    FOLDER.mkdir(parents=True, exist_ok=True)
    part = FOLDER / "promtool.part"
    shutil.copy(unpacked / "usr" / "bin" / "promtool", part)
    part.replace(FOLDER / "promtool")
    return True


def _is_done(command: list[str], folder: Path) -> bool:
    try:
        return (
            subprocess.run(
                command, cwd=folder, timeout=PACKAGE_SECONDS, check=False, stdout=subprocess.DEVNULL
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)
        return False


if __name__ == "__main__":
    raise SystemExit(main())
