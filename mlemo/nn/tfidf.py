"""Feature vectors from the words and characters of a text, without any pretrained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mlemo.nn.features import TextFeatures
from mlemo.text import TextCleaning

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

__all__ = ["Tfidf"]

#: A word, or one emoji or punctuation mark, which are more informative about emotions than many words.
TOKEN = r"\w+|[^\w\s]"
KINDS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": TOKEN},
    "characters": {"analyzer": "char_wb", "ngram_range": (1, 5)},
}


class Tfidf(TextFeatures):
    """Latent semantic analysis: ``f(text) = Vᵀ t / ‖Vᵀ t‖``, t the TF-IDF weights of its words and characters.

    Without ``width`` it is ``f(text) = t``, as a sparse tensor with a column per term. t has n-grams of words (1 and 2)
    and of characters inside words (1 to 5), each block of norm 1, with term weights ``(1 + ln tf) · (1 + ln((1 + N) /
    (1 + df)))``; V are the ``width`` leading right singular vectors of the training texts' t. Texts with similar words
    are near each other, regardless of their labels. An empty text is 0. Equal training texts give equal features; the
    fitted state is stored in the checkpoint.

    Args:
        width: Number of features (fewer for fewer texts or terms); ``None`` for the TF-IDF weights themselves.
        terms: Largest number of terms of each kind, the most frequent ones; ``None`` for all terms.
        min_texts: Smallest number of training texts with a term.
        cleaning: Cleaning of each text. Case and diacritics are always removed.

    Raises:
        ValueError: A size is below one; no term is left (in `fit`); the features are used before `fit`.

    Example:
        >>> texts = ["so happy today", "happy again today", "so angry at you", "angry at them again"]
        >>> features = Tfidf(width=2)
        >>> features.fit(texts)
        >>> similarity = (features(texts) @ features(["what a happy day"]).T).squeeze(1)
        >>> bool(similarity[:2].min() > similarity[2:].max())
        True

    Reference:
        Deerwester, Dumais, Furnas, Landauer, Harshman, *Indexing by Latent Semantic Analysis*, JASIS 1990.
    """

    def __init__(
        self,
        width: int | None = 256,
        terms: int | None = 10_000,
        min_texts: int = 2,
        cleaning: TextCleaning | None = None,
    ) -> None:
        for name, value in (("width", width), ("terms", terms), ("min_texts", min_texts)):
            if value is not None and value < 1:
                raise ValueError(f"Tfidf.{name} must be at least 1, found {value}")
        self.width, self.terms, self.min_texts, self.cleaning = width, terms, min_texts, cleaning
        self._vectorizers: list[TfidfVectorizer] = []
        self._components: Tensor | None = None  # (width, terms)

    def fit(self, texts: Sequence[str]) -> None:
        """Learn terms, their weights and the singular vectors."""
        cleaned = self._cleaned(texts)
        self._vectorizers = [self._vectorizer(kind) for kind in KINDS]
        for vectorizer in self._vectorizers:
            vectorizer.fit(cleaned)
        self._components = None
        if self.width is None:
            return
        from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415  # takes half a second, and few models need it

        weights = self._weights(cleaned)
        svd = TruncatedSVD(min(self.width, *weights.shape), random_state=0).fit(weights)
        self._components = torch.from_numpy(svd.components_.astype(np.float32))

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Convert ``N`` texts to ``(N, width)`` float32 of norm 1, or 0; without ``width`` to sparse ``(N, terms)``."""
        if not self._vectorizers:
            raise ValueError("Tfidf is not fitted: call fit(training_texts) first, or load a checkpoint")
        if self._components is None:
            return _sparse(self._weights(self._cleaned(texts)))
        return normalize(torch.from_numpy(self._weights(self._cleaned(texts)) @ self._components.numpy().T))

    def state_dict(self) -> dict[str, Any]:
        """Return the terms of each kind in order, their weights, and the singular vectors; empty before `fit`."""
        state: dict[str, Any] = {} if self._components is None else {"components": self._components}
        for kind, vectorizer in zip(KINDS, self._vectorizers):
            state[kind] = vectorizer.get_feature_names_out().tolist()
            state[f"{kind}_idf"] = torch.from_numpy(vectorizer.idf_)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state returned by `state_dict`."""
        self._components = state.get("components")
        self._vectorizers = []
        for kind in KINDS if state else ():
            vectorizer = self._vectorizer(kind, vocabulary=state[kind])
            vectorizer.idf_ = state[f"{kind}_idf"].numpy()
            self._vectorizers.append(vectorizer)

    def _vectorizer(self, kind: str, vocabulary: list[str] | None = None) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  # as in fit

        common = {"sublinear_tf": True, "strip_accents": "unicode", "dtype": np.float32, "vocabulary": vocabulary}
        return TfidfVectorizer(min_df=self.min_texts, max_features=self.terms, **common, **KINDS[kind])

    def _weights(self, texts: Sequence[str]) -> csr_matrix:
        from scipy.sparse import csr_matrix, hstack  # noqa: PLC0415  # as in fit

        if not texts:
            return csr_matrix((0, sum(len(vectorizer.idf_) for vectorizer in self._vectorizers)), dtype=np.float32)
        return hstack([vectorizer.transform(texts) for vectorizer in self._vectorizers]).tocsr()


def _sparse(matrix: csr_matrix) -> Tensor:
    """The same numbers as a coalesced tensor."""
    matrix.sort_indices()
    entries = matrix.tocoo()
    indices = torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64))
    values = torch.from_numpy(entries.data)
    return torch.sparse_coo_tensor(indices, values, matrix.shape, is_coalesced=True, check_invariants=False)
