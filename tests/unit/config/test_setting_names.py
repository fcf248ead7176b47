"""A setting may be named with the prefix GRANULA_, and a misspelt one is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import config
from app.config import Settings, load_settings
from app.errors import SettingsInvalid
from app.setting_names import misspelt


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_prefixed_variable_is_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANULA_MAX_UPLOAD_MB", "7")
    monkeypatch.setenv("GRANULA_ALLOWED_HOSTS", "a.example, b.example")
    settings = load_settings()
    assert settings.max_upload_mb == 7
    assert settings.allowed_hosts == ("a.example", "b.example")


def test_the_prefixed_form_wins_and_the_environment_before_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("GRANULA_MAX_RETRIES=1\nGRANULA_REGION=file\nCHUNK_SIZE=300\n")
    monkeypatch.setenv("MAX_RETRIES", "2")
    monkeypatch.setenv("MAX_UPLOAD_MB", "3")
    monkeypatch.setenv("GRANULA_MAX_UPLOAD_MB", "4")
    settings = load_settings()
    assert settings.max_retries == 2
    assert settings.max_upload_mb == 4
    assert (settings.region, settings.chunk_size) == ("file", 300)


def test_the_key_of_a_user_is_not_the_key_of_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("GRANULA_KEY=user\n")
    monkeypatch.setenv("GRANULA_KEY", "user")
    assert load_settings().key == ""
    assert config.warnings() == []


def test_an_invalid_value_is_refused_by_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANULA_CHUNK_SIZE", "many")
    with pytest.raises(SettingsInvalid, match="CHUNK_SIZE"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MAX_UPLAOD_MB", "MAX_UPLOAD_MB"),
        ("GRANULA_MAX_UPLAOD_MB", "MAX_UPLOAD_MB"),
        ("AUTH_REQUIERD", "AUTH_REQUIRED"),
        ("DATABASEURL", "DATABASE_URL"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("GRANULA_COLOUR", ""),
    ],
)
def test_a_misspelt_setting_is_found(variable: str, meant: str) -> None:
    assert misspelt([variable, "PATH"], Settings.model_fields) == {variable: meant}


def test_other_programs_variables_are_left_alone() -> None:
    others = [
        *("PATH", "HOME", "LANG", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD"),
        *("GRANULA_URL", "GRANULA_KEY", "GRANULA_PROGRAM", "GRANULA_FAIL", "KEYS", "BUCKET_NAME"),
        *("PYTHONPATH", "HTTP_PROXY", "OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_HEADERS"),
        *(name.upper() for name in Settings.model_fields),
        *(f"GRANULA_{name.upper()}" for name in Settings.model_fields),
    ]
    assert misspelt(others, Settings.model_fields) == {}


def test_a_warning_says_what_was_probably_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("LOG_LEVLE=DEBUG\n")
    assert config.warnings() == [
        "LOG_LEVLE is not a setting and has no effect. Did you mean LOG_LEVEL?"
    ]
