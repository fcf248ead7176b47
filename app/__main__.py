"""`python -m app`: what can be done from a terminal."""

from __future__ import annotations

from app.cli.main import run

if __name__ == "__main__":
    run()
