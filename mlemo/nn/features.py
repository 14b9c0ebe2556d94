"""Feature vectors of texts, the input of models over features."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mlemo.text import TextCleaning, cleaning_from_dict, cleaning_to_dict
from mlemo.text.readable import readable
from mlemo.utils.serialization import component_from_dict, component_to_dict

__all__ = ["TextFeatures", "features_from_dict", "features_to_dict"]


class TextFeatures(ABC):
    """Conversion of texts to vectors, computed once before training.

    Each ``__init__`` argument is stored in an attribute of the same name, as a plain value (``cleaning`` as the
    object), for `features_to_dict`. ``__init__`` is fast and does not read files.
    """

    cleaning: TextCleaning | None = None

    @abstractmethod
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Convert ``N`` texts to ``(N, F)`` float32 on the CPU; a vector does not depend on the other texts.

        The tensor is dense, or sparse (COO) where most numbers are 0; batches of its rows are dense.
        """

    def fit(self, texts: Sequence[str]) -> None:  # noqa: B027  # most have nothing to fit
        """Fit the features to the training texts."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the vectors depend on, fitted or not, besides the settings: tensors and plain values by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Restore the state returned by `state_dict`.

        Raises:
            ValueError: The state belongs to other features.
        """

    def _cleaned(self, texts: Sequence[str]) -> list[str]:
        texts = [readable(text) for text in texts]
        return texts if self.cleaning is None else [self.cleaning(text) for text in texts]


def features_to_dict(features: TextFeatures) -> dict[str, Any]:
    """Convert features to plain values and tensors, for a checkpoint.

    Args:
        features: Features of mlemo or of the user, fitted or not.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}, "state": {...}}``.

    Raises:
        ValueError: The class was defined inside a function, or does not store an argument as a plain value under its
            name.

    Example:
        >>> from mlemo.nn.tfidf import Tfidf
        >>> stored = features_to_dict(Tfidf(width=50))
        >>> stored["class_path"], stored["init_args"]["width"]
        ('mlemo.nn.tfidf.Tfidf', 50)
    """
    bare = copy.copy(features)
    bare.cleaning = None
    stored = component_to_dict(bare)
    if features.cleaning is not None:
        stored["init_args"]["cleaning"] = cleaning_to_dict(features.cleaning)
    return {**stored, "state": features.state_dict()}


def features_from_dict(stored: Mapping[str, Any]) -> TextFeatures:
    """Restore features from the values of `features_to_dict`.

    Args:
        stored: ``{"class_path", "init_args", "state"}``.

    Raises:
        ValueError: The class does not exist, is not trusted or is not a `TextFeatures`, or does not accept settings or
            state.
        FileNotFoundError: An encoder needed by the features does not exist.
    """
    # the cache folder is that of the user: files do not determine where anything is written
    init_args = {name: value for name, value in stored["init_args"].items() if name != "cache_dir"}
    if init_args.get("cleaning") is not None:
        init_args["cleaning"] = cleaning_from_dict(init_args["cleaning"])
    path = {"class_path": stored["class_path"], "init_args": init_args}
    features = component_from_dict(path, TextFeatures, "features")  # type: ignore[type-abstract]
    features.load_state_dict(stored["state"])
    return features
