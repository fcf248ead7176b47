"""What can be said about an upload."""

from __future__ import annotations

from app.api.parameters import UploadOptions
from app.features.sentiment.parameters import SentimentParameters
from app.features.tables.parameters import TableParameters


class FileOptions(SentimentParameters, TableParameters, UploadOptions):
    """Everything that can be said about an upload, in the query or as form fields."""
