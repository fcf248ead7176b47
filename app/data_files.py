"""Where the files are that belong to the program and are no modules of it: beside `app` in a
checkout, inside `app` where the package is installed.
"""

from __future__ import annotations

from pathlib import Path

_APP = Path(__file__).resolve().parent
_PACKAGED = _APP / "data"
_CHECKOUT = _APP.parent

IS_CHECKOUT = not _PACKAGED.is_dir()
_ROOT = _CHECKOUT if IS_CHECKOUT else _PACKAGED
ALEMBIC_INI = _ROOT / "alembic.ini"
ERROR_PAGES = _ROOT / "docs" / "errors"
GUIDE = _CHECKOUT / "storage" / "guide" if IS_CHECKOUT else _PACKAGED / "guide"
"""The pages for people, made by scripts/build_guide.py; in a checkout they may be missing."""
