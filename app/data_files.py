"""Paths of the program's files that are not modules: next to `app` in a checkout, inside `app` in
an installed package.
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
"""The pages of the guide, built by scripts/build_guide.py; a checkout may not have them."""
