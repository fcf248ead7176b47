"""Options of an upload."""

from __future__ import annotations

from app.api.parameters import UploadOptions
from app.features.sentiment.parameters import SentimentParameters


class FileOptions(SentimentParameters, UploadOptions):
    """Options of an upload, in the query or as form fields."""
