"""The upload parameters of the command line are those of the service."""

from __future__ import annotations

from app.cli import uploads
from app.features.files.parameters import FileOptions


def test_the_parameters_of_an_upload_are_those_of_the_service() -> None:
    assert set(uploads.PARAMETERS) | {"option"} == FileOptions.model_fields.keys()
    assert uploads.parameter("delimiter") == "delimiter"
    assert uploads.parameter("mark") == uploads.parameter("option.mark") == "option.mark"
