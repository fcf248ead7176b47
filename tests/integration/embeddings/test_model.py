"""The vectors equal those of sentence-transformers in any batch, and a wrong model is not used."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.embeddings import files, model
from app.embeddings.model import Embedder
from app.embeddings.weights import INT8, SAFETENSORS
from app.errors import ModelUnavailable, TerminalError
from tests.harness import ROOT
from tests.integration.embeddings.sentences import TEXTS, VECTORS_FILE


@pytest.fixture(scope="module")
def embedder(model_dir: Path) -> Embedder:
    return Embedder(model_dir)


@pytest.fixture(scope="module")
def reference() -> Any:
    vectors = np.load(VECTORS_FILE).astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_every_vector_equals_that_of_sentence_transformers(
    embedder: Embedder, reference: Any
) -> None:
    for vectors in (
        embedder.encode(TEXTS),
        np.stack([embedder.encode_query(text) for text in TEXTS]),
    ):
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(TEXTS), embedder.dimensions)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        cosines = (vectors * reference).sum(axis=1)
        assert cosines.min() >= 0.99999, TEXTS[int(cosines.argmin())][:60]


def test_int8_vectors_are_close_and_named_as_another_precision(
    model_dir: Path, reference: Any
) -> None:
    embedder = Embedder(model_dir, precision="int8")
    assert (embedder.model_id, embedder.precision) == ("all-MiniLM-L6-v2", "int8")
    cosines = (embedder.encode(TEXTS) * reference).sum(axis=1)
    assert cosines.min() > 0.9
    assert cosines.mean() > 0.97
    assert cosines.min() < 0.9999, "this is not int8"


def test_a_text_has_the_same_vector_in_any_batch_and_order(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that texts are spread over several slabs and many batches
    monkeypatch.setattr(model, "SLAB_TEXTS", 50)
    alone = np.concatenate([embedder.encode([text]) for text in TEXTS])
    places = [*range(len(TEXTS)), *range(0, len(TEXTS), 3)]
    random.Random(7).shuffle(places)
    together = embedder.encode([TEXTS[i] for i in places])
    assert np.abs(together - alone[places]).max() < 1e-5
    # not all the same
    assert len({vector.tobytes() for vector in np.round(alone, 3)}) > len(TEXTS) - 10


def test_equal_texts_are_embedded_once(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def count(tokenizer: Any, session: Any, texts: list[str], vectors: Any, spread: Any) -> None:
        computed.append(len(texts))
        vectors[:] = [[hash(text) % 1000] * embedder.dimensions for text in texts]

    monkeypatch.setattr(model, "_encode_slab", count)
    texts = [f"text {i % 7}" for i in range(100)]
    vectors = embedder.encode(texts)
    assert computed == [7]
    assert [int(v[0]) for v in vectors] == [hash(text) % 1000 for text in texts]


def test_empty_texts_and_lone_surrogates_are_no_errors(embedder: Embedder) -> None:
    assert embedder.encode([]).shape == (0, embedder.dimensions)
    assert (
        np.abs(embedder.encode(["broken \ud83d pair"]) - embedder.encode(["broken ? pair"])).max()
        < 1e-6
    )


def test_a_long_text_is_truncated_before_tokenising_with_the_same_tokens(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle tokenises the whole text and then cuts, as sentence-transformers does."""
    ours, _ = embedder._network.parts()
    oracle = type(ours).from_str(ours.to_str())
    oracle.enable_truncation(model.MAX_TOKENS)
    # so that the cut falls near the last token that counts
    monkeypatch.setattr(model, "FIRST_LOOK", 600)
    chance = random.Random(3)
    parts = [
        "word ",
        "unbelievably",
        " ",
        "\t\n",
        "x" * 90,
        "y" * 101,
        "é",
        "e\u0301",
        "漢字",
        "😀",
        "!",
        "[SEP]",
        "don't ",
        "\0",
    ]
    texts = [
        " " * 10_000 + "far away",
        "z" * 900 + " near",
        "n" * 600,
        "a b " * 500,
        "\ud800" * 1_000,
    ]
    for _ in range(500):
        few = chance.choices(parts, k=chance.randint(1, 4))
        filler = chance.choice([" " * chance.randint(0, 700), "q" * 590 + " ", ""])
        texts.append(filler + "".join(chance.choices(few, k=chance.randint(1, 400))))
    found = model._token_ids(ours, texts)
    assert found == [oracle.encode(model._encodable(text)).ids for text in texts]
    long = [
        len(ids) for ids, text in zip(found, texts, strict=True) if len(text) > model.FIRST_LOOK
    ]
    assert min(long.count(model.MAX_TOKENS), len(long) - long.count(model.MAX_TOKENS)) > 50


def test_batches_of_the_tokeniser_are_bounded_by_texts_and_by_characters() -> None:
    texts = [str(i) for i in range(10_000)] + ["x" * 100_000 + str(i) for i in range(1_000)]
    slabs = list(model._slabs(texts))
    assert [text for slab in slabs for text in slab] == texts
    assert max(map(len, slabs)) == model.SLAB_TEXTS
    seen = [sum(min(len(text), model.FIRST_LOOK) for text in slab) for slab in slabs]
    assert max(seen) < model.SLAB_CHARACTERS + model.FIRST_LOOK


def test_batches_hold_every_text_once_and_stay_small() -> None:
    ids = [[0] * length for length in [256] * 40 + [100] * 90 + [3] * 300]
    batches = list(model._batches(range(len(ids)), ids))
    assert [i for batch in batches for i in batch] == list(range(len(ids)))
    assert all(
        len(batch) <= 64 and len(batch) * len(ids[batch[0]]) <= model.BATCH_TOKENS
        for batch in batches
    )


def test_many_threads_open_the_model_once(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    together = threading.Barrier(8)
    open_model = model._open

    def counting(*arguments: Any) -> Any:
        opened.append(arguments)
        return open_model(*arguments)

    monkeypatch.setattr(model, "_open", counting)
    embedder = Embedder(model_dir, threads=1)

    def first_use(i: int) -> Any:
        together.wait(30)
        return embedder.encode([f"text {i}"])

    with ThreadPoolExecutor(8) as pool:
        vectors = np.concatenate(list(pool.map(first_use, range(8))))
    assert len(opened) == 1
    assert np.abs(vectors - embedder.encode([f"text {i}" for i in range(8)])).max() < 1e-5


def test_a_missing_model_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"there is no .*Run \./scripts/install_model"):
        Embedder(tmp_path).encode(["text"])
    assert issubclass(ModelUnavailable, TerminalError)
    assert ModelUnavailable.code == "model_unavailable"


@pytest.mark.parametrize("name", [SAFETENSORS, files.TOKENIZER, INT8])
def test_a_damaged_file_is_not_loaded(model_dir: Path, tmp_path: Path, name: str) -> None:
    for file in files.DIGESTS:
        shutil.copyfile(model_dir / file, tmp_path / file)
    with (tmp_path / name).open("r+b") as damaged:
        damaged.seek(200_000)
        byte = damaged.read(1)
        damaged.seek(200_000)
        damaged.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ModelUnavailable, match=rf"{name} is not the file of"):
        Embedder(tmp_path, precision="int8").load()
    if name == INT8:
        Embedder(tmp_path, precision="fp32").load()  # which does not read it


def test_an_unknown_precision_is_refused_immediately() -> None:
    with pytest.raises(ValueError, match="fp32, int8"):
        Embedder(Path(), precision="fp16")


def test_a_service_that_never_embeds_does_not_load_the_model() -> None:
    check = (
        "import sys, app.main, app.embeddings.model; print({'onnxruntime', 'tokenizers', 'onnx'} &"
        " set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"
