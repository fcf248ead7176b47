"""kill -9 while records get their vectors: in the end each valid record has the right one."""

from __future__ import annotations

import numpy as np
import pytest

from app.embeddings.model import Embedder
from tests.acceptance.crash.conftest import MakeService
from tests.harness import ROOT, query, wait_until

ROWS = "".join(f"Name {i % 40},p{i}@example.com,{i % 100},Team {i % 3}\n" for i in range(500))
DATA = ("name,email,age,department\n" + ROWS).replace("p13@", "nobody ").encode()


@pytest.mark.one_database
def test_interrupted_vectors_are_computed_once_and_correctly(make_service: MakeService) -> None:
    service = make_service(EMBEDDING_MODEL_DIR=ROOT / "storage/models/all-MiniLM-L6-v2")
    service.start(GRANULA_FAIL="vectors.before_commit=kill")
    with service.client() as client:
        answer = client.post(
            "/api/upload", params={"chunk_size": 100}, files={"file": ("p.csv", DATA)}
        )
        number = answer.json()["id"]
    service.wait_for_death()

    service.start()
    with service.client() as client:
        wait_until(
            lambda: client.get(f"/api/imports/{number}").json()["vectors"]["status"] == "ready",
            30,
            "vectors",
        )
        body = client.get(f"/api/imports/{number}", params={"limit": 1000}).json()
    assert (body["valid_records"], body["failed_records"]) == (499, 1)
    assert body["vectors"]["ready"] == 499
    stored = query(service.url, "SELECT row_number, vector FROM record_vectors ORDER BY row_number")
    valid = {r["row_number"]: r["data"] for r in body["records"] if r["status"] == "valid"}
    assert [row for row, _ in stored] == sorted(valid)
    texts = [f"{valid[row]['name']}, {valid[row]['department']}" for row, _ in stored]
    expected = Embedder(ROOT / "storage/models/all-MiniLM-L6-v2").encode(texts)
    assert np.allclose(
        np.stack([np.frombuffer(vector, "<f4") for _, vector in stored]), expected, atol=1e-5
    )
