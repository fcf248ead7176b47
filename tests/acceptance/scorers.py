"""Sentiment models that misbehave on cue, loaded by SENTIMENT_MODELS. Texts and flag files are the
cues.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

FLAGS = Path(os.environ.get("SCORER_FLAGS", "."))
DEADLINE_SECONDS = 60.0

Scores = list[tuple[str, float]]


def wait_for(flag: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (FLAGS / flag).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody raised the flag {flag}")


class Gated:
    """For texts with the word `gate` it computes, without a pause, until the flag `open` is raised;
    first it raises `began-<pid>`. A score is the pid.
    """

    def score(self, texts: Sequence[str]) -> Scores:
        if any("gate" in text for text in texts):
            (FLAGS / f"began-{os.getpid()}").touch()
            wait_for("open")
        return [("neutral", float(os.getpid()))] * len(texts)


class Flaky:
    """Fails the first time it is called."""

    def score(self, texts: Sequence[str]) -> Scores:
        if not (FLAGS / "called").exists():
            (FLAGS / "called").touch()
            raise RuntimeError("not yet")
        return [("positive", 1.0)] * len(texts)


class Fragile:
    """Raises for the text `bad`, returns no number for `nan`, and kills its process for
    `poison`.
    """

    def score(self, texts: Sequence[str]) -> Scores:
        if "bad" in texts:
            raise ValueError("cannot do this")
        if "poison" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return [("positive", float("nan") if text == "nan" else 0.5) for text in texts]
