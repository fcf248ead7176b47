"""Make the guide, the documents as pages with a search, in storage/guide: the service shows it at
/guide.

    python scripts/build_guide.py            nothing is done if it is up to date
    python scripts/build_guide.py --check    only look: does each link lead somewhere, is each page listed?

Needs mkdocs-material, which ./scripts/install --dev installs. Nothing is fetched, neither here nor
by the pages. The exit code is 1 if a link or a page is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "storage" / "guide"
MARK = "made-from"
SUPERFLUOUS = ("*.map", "sitemap.xml*", "404.html")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="keep nothing of what is made")
    check_only = parser.parse_args().check
    digest = source_digest()
    if not check_only and (GUIDE / MARK).exists() and (GUIDE / MARK).read_text() == digest:
        return 0
    GUIDE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".guide-", dir=GUIDE.parent) as folder:
        made = Path(folder) / "guide"
        if not build(made):
            return 1
        if not check_only:
            (made / MARK).write_text(digest)
            shutil.rmtree(GUIDE, ignore_errors=True)
            made.replace(GUIDE)
    return 0


def source_digest() -> str:
    """Return the digest of everything that the guide is made from."""
    digest = hashlib.sha256()
    files = [path for path in (ROOT / "docs").rglob("*") if path.is_file()]
    for path in (ROOT / "mkdocs.yml", Path(__file__), *sorted(files)):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def build(folder: Path) -> bool:
    """Whether all is well; what is not is printed."""
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    if subprocess.run([*build, "--site-dir", str(folder)], cwd=ROOT, env=environment).returncode:
        return False
    for pattern in SUPERFLUOUS:
        for path in folder.rglob(pattern):
            path.unlink()
    return True


if __name__ == "__main__":
    sys.exit(main())
