"""Embedder of sentences: all-MiniLM-L6-v2 on onnxruntime, without torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.embeddings import files
from app.errors import ModelUnavailable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

DIMENSIONS = 384
MAX_TOKENS = 256
"""Limit that the model was trained for. The rest of a longer text is not read, as in
sentence-transformers.
"""

BATCH_TEXTS = 64
BATCH_TOKENS = 2048
"""Tokens of a batch. It has 64 texts, fewer where they are long, and 8 of the longest, to stay in
the caches.
"""

SLAB_TEXTS = 8192
SLAB_CHARACTERS = 1_000_000
"""Limit of characters that are tokenised and sorted at a time; more would take memory and sort
hardly better.
"""

FIRST_LOOK = 4096
"""Number of characters of a text that are tokenised at first. They nearly always have more tokens
than the model reads, so the rest is not tokenised.
"""

LONGEST_WORD = 100
"""Limit of characters of a word; the tokenizer makes one unknown token of a longer word. So a cut
in a word changes at most this many tokens.
"""

QUERY_THREADS = 2
"""Threads for a single text. It mostly takes the time to read 42 MB of weights: 4.5 ms, where one
thread takes 7.
"""


class Embedder:
    """Embedder of texts as vectors of unit length. Creating it costs nothing; the model is loaded
    at the first use or by `load`.

    Safe to share between threads. `precision` is "fp32", equal to sentence-transformers, or "int8",
    faster and less exact: vectors of the two must not be compared with each other. As many batches
    as there are `threads` are computed at once, each by one thread, whatever call they belong to; 0
    means one per core this process may use.
    """

    model_id = files.MODEL_ID
    dimensions = DIMENSIONS

    def __init__(self, folder: Path, *, precision: str = "fp32", threads: int = 0) -> None:
        if precision not in files.PRECISIONS:
            allowed = ", ".join(files.PRECISIONS)
            raise ValueError(f"precision must be one of {allowed}, not {precision!r}")
        self.folder = folder
        self.precision = precision
        threads = threads or _cores()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
        # The calling thread computes a batch: several threads for one batch wait for each other
        # after every operator.
        self._network = _Network(folder, precision, 1)
        self._query_network = self._network
        if threads >= QUERY_THREADS:
            self._query_network = _Network(folder, precision, QUERY_THREADS)

    def load(self) -> None:
        """Check the files against their digests and open them: some 0.5 s, and no time after that.
        Raises ModelUnavailable.
        """
        self._network.parts()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return vectors, (len(texts), 384), row i for text i. Blocks without the interpreter lock;
        raises ModelUnavailable.
        """
        tokenizer, session = self._network.parts()
        places: dict[str, int] = {}
        # Equal texts are encoded once.
        rows = [places.setdefault(text, len(places)) for text in texts]
        vectors = np.empty((len(places), DIMENSIONS), np.float32)
        start = 0
        for slab in _slabs(places):
            _encode_slab(
                tokenizer, session, slab, vectors[start : start + len(slab)], self._pool.map
            )
            start += len(slab)
        return vectors if len(places) == len(rows) else vectors[rows]

    def encode_query(self, text: str) -> npt.NDArray[np.float32]:
        """Return the vector of `encode`, (384,), sooner: it has its own threads and does not queue
        behind batches. The first call opens the model once more, 80 MB. Blocks; raises
        ModelUnavailable.
        """
        tokenizer, session = self._query_network.parts()
        vectors = session.run(None, _padded(_token_ids(tokenizer, [text])))[0]
        vector: npt.NDArray[np.float32] = vectors[0]
        return vector


class _Network:
    """Model that is opened at the first use; `threads` compute a batch together."""

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        self._arguments = folder, precision, threads
        self._lock = threading.Lock()
        self._opened: tuple[Tokenizer, InferenceSession] | None = None

    def parts(self) -> tuple[Tokenizer, InferenceSession]:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = _open(*self._arguments)
        return self._opened


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open(folder: Path, precision: str, threads: int) -> tuple[Tokenizer, InferenceSession]:
    try:  # here, because a service that never embeds should not pay for them
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ModelUnavailable(
            f"{error}. Run ./scripts/install to install what the service needs."
        ) from error
    files.verify(folder, precision)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    entries = {
        # Threads sleep when they have no work.
        "session.intra_op.allow_spinning": "0",
        # Without VNNI int8 products overflow where this is off: vectors would depend on the
        # machine.
        "session.x64quantprecision": "1",
        "session.model_external_initializers_file_folder_path": str(folder),
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    try:
        session = onnxruntime.InferenceSession(
            files.graph_path(precision).read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer.from_file(str(folder / files.TOKENIZER))
    except Exception as error:  # the libraries have no common class of errors
        raise ModelUnavailable(f"The model in {folder} cannot be opened: {error}") from error
    # truncation would tokenise all of a text to keep its first tokens; see _token_ids
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, session


def _slabs(texts: Iterable[str]) -> Iterator[list[str]]:
    slab: list[str] = []
    characters = 0
    for text in texts:
        slab.append(text)
        characters += min(len(text), FIRST_LOOK)
        if len(slab) == SLAB_TEXTS or characters >= SLAB_CHARACTERS:
            yield slab
            slab, characters = [], 0
    if slab:
        yield slab


def _encode_slab(
    tokenizer: Tokenizer,
    session: InferenceSession,
    texts: list[str],
    vectors: npt.NDArray[np.float32],
    spread: Callable[..., Iterable[None]],
) -> None:
    """Write the vectors of these texts into `vectors`. Texts of similar length share a batch, so
    little of it is padding.
    """
    ids = _token_ids(tokenizer, texts)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
    batches = list(_batches(order, ids))

    def encode(batch: list[int]) -> None:
        vectors[batch] = session.run(None, _padded([ids[i] for i in batch]))[0]

    # A single batch, such as some headers, is computed here: it does not queue behind the batches
    # of other calls.
    if len(batches) == 1:
        encode(batches[0])
        return
    for _ in spread(encode, batches):
        pass


def _token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each text as the model reads them, MAX_TOKENS at most, from as little of
    the text as they need.
    """
    ids_of: list[list[int]] = [[] for _ in texts]
    pending = list(range(len(texts)))
    look = FIRST_LOOK
    while pending:
        encodings = tokenizer.encode_batch_fast([_encodable(texts[i][:look]) for i in pending])
        short = []
        for i, encoding in zip(pending, encodings, strict=True):
            ids = encoding.ids
            if len(texts[i]) > look and len(ids) < MAX_TOKENS + LONGEST_WORD:
                # Much white space, or words without end: the rest of the text may still count.
                short.append(i)
            elif len(ids) > MAX_TOKENS:
                ids_of[i] = [*ids[: MAX_TOKENS - 1], ids[-1]]
            else:
                ids_of[i] = ids
        pending = short
        look *= 8
    return ids_of


def _batches(order: Sequence[int], ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield batches of `order`, which has the longest text first."""
    start = 0
    while start < len(order):
        size = min(BATCH_TEXTS, BATCH_TOKENS // len(ids[order[start]]))
        yield list(order[start : start + size])
        start += size


def _padded(ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    tokens = np.zeros((len(ids), len(ids[0])), np.int64)
    mask = np.zeros_like(tokens)
    for row, text in enumerate(ids):
        tokens[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


def _encodable(text: str) -> str:
    """Replace half of a surrogate pair, which JSON can smuggle into a str. It is not Unicode, so
    the tokenizer would refuse it.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
