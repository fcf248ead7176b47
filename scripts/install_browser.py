"""Find or install a Chromium for the tests of the dashboard and for its screenshots.

    python scripts/install_browser.py

Uses GRANULA_CHROMIUM, Playwright's own, or the system's if there is one. Otherwise downloads
Playwright's; where its address is unreachable, installs the package `chromium`, as root on Debian
or Ubuntu. The exit code is 0 if there is a browser now, 1 if not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

DOWNLOAD_SECONDS, PACKAGE_SECONDS = 180, 420
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CACHES = (
    os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright",
    "~/Library/Caches/ms-playwright",
)
OWN = (
    "chromium_headless_shell-*/*/*headless*shell",
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/*/*.app/Contents/MacOS/*",
)
# A container has a small /dev/shm and no user namespaces; the other flags stop Chromium's own
# requests.
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    if named := os.environ.get("GRANULA_CHROMIUM"):
        return named
    for folder in map(Path, CACHES):
        for pattern in OWN:
            if found := sorted(folder.expanduser().glob(pattern)):
                return str(found[-1])
    return next((path for path in map(shutil.which, NAMES) if path), None)


def main() -> int:
    if find():
        return 0
    print("Installing Chromium ...", flush=True)
    _try(
        [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"],
        DOWNLOAD_SECONDS,
    )
    if not find() and shutil.which("apt-get") and os.geteuid() == 0:
        _try(["apt-get", "update", "-q"], PACKAGE_SECONDS)
        _try(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"],
            PACKAGE_SECONDS,
        )
    if found := find():
        print(f"Chromium: {found}")
        return 0
    print(
        "There is no Chromium. Install one and name it by GRANULA_CHROMIUM, or run as root.",
        file=sys.stderr,
    )
    return 1


def _try(command: list[str], seconds: int) -> None:
    try:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(
            command, timeout=seconds, check=False, stdout=subprocess.DEVNULL, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
