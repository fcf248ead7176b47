"""Options of an upload."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.api.parameters import UploadOptions
from app.features.sentiment.parameters import SentimentParameters
from app.features.tables.parameters import TableParameters


class FileOptions(SentimentParameters, TableParameters, UploadOptions):
    """Options of an upload, in the query or as form fields."""


class ReadAgain(FileOptions):
    """Options of an upload that is read again."""

    file_id: Annotated[str, Field(max_length=100, description="The `file_id` of an upload.")]
