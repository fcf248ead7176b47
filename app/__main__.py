"""`python -m app`: what can be done from a terminal."""

from __future__ import annotations

from app.cli import app

if __name__ == "__main__":
    app(prog_name="python -m app")
