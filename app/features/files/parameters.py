"""Options of an upload."""

from __future__ import annotations

from app.api.parameters import UploadOptions
from app.features.sentiment.parameters import SentimentParameters
from app.features.tables.parameters import TableParameters


class FileOptions(SentimentParameters, TableParameters, UploadOptions):
    """Options of an upload, in the query or as form fields."""
