"""/guide in a checkout in which it is not built."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.api import errors, guide


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("address", ["/guide/", "/guide/tutorial.html"])
async def test_a_guide_that_is_not_built_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, is_folder: bool
) -> None:
    folder = tmp_path / "guide"
    if is_folder:
        folder.mkdir()
    monkeypatch.setattr(guide, "GUIDE", folder)
    app = FastAPI()
    errors.install(app)
    app.mount("/guide", guide.Guide())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get(address)
    assert response.status_code == 404
    assert "./scripts/install --dev" in response.json()["detail"]
