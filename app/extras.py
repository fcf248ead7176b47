"""The packages that an installation can leave out (`pip install granula[extra]`), and the sentence
that says so to who needs them.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

EXTRAS = {
    "postgres": ("procrastinate", "psycopg"),
    "s3": ("obstore", "botocore"),
    "analysis": ("pyarrow", "datasketches"),
    "mapping": ("rapidfuzz", "scipy", "pyarrow", "datasketches"),
    "embeddings": ("onnxruntime", "tokenizers"),
    "sentiment": ("vaderSentiment",),
    "telemetry": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
    "ml-api": ("sklearn",),
}
"""Names of the imported packages by extra."""


@cache
def is_installed(extra: str) -> bool:
    """Raise KeyError for an unknown extra."""
    return all(_is_there(module) for module in EXTRAS[extra])


def how_to_install(extra: str) -> str:
    return f"run pip install 'granula[{extra}]'"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # not even the package around it
        return False
