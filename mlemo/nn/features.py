"""Feature vectors of texts: what a model over features reads in place of a tabular corpus."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mlemo.paths import component_from_dict, component_to_dict
from mlemo.text import TextCleaning, cleaning_from_dict, cleaning_to_dict
from mlemo.text.readable import readable

__all__ = ["TextFeatures", "features_from_dict", "features_to_dict"]


class TextFeatures(ABC):
    """Texts to vectors, computed once before training.

    Each ``__init__`` argument is kept under its own name, as a plain value (``cleaning`` as the object), where
    `features_to_dict` reads it. Nothing that takes long or needs a file is done in ``__init__``.
    """

    cleaning: TextCleaning | None = None

    @abstractmethod
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """``N`` texts to ``(N, F)`` float32 on the CPU; the vector of a text does not depend on the texts beside it."""

    def fit(self, texts: Sequence[str]) -> None:  # noqa: B027  # most have nothing to fit
        """Learn what is learned from the training texts."""

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, or what the vectors depend on beside the settings: tensors and plain values, by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take over what `state_dict` returned.

        Raises:
            ValueError: The state belongs to other features, which these cannot become.
        """

    def _cleaned(self, texts: Sequence[str]) -> list[str]:
        texts = [readable(text) for text in texts]
        return texts if self.cleaning is None else [self.cleaning(text) for text in texts]


def features_to_dict(features: TextFeatures) -> dict[str, Any]:
    """Features as plain values and tensors, so that a checkpoint can hold them.

    Args:
        features: Features of mlemo or of the user, fitted or not.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}, "state": {...}}``.

    Raises:
        ValueError: The class was defined inside a function, or does not keep an argument as a plain value under its
            own name.

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
    """The features that `features_to_dict` stored.

    Args:
        stored: ``{"class_path", "init_args", "state"}``.

    Raises:
        ValueError: The class is not there or not trusted, is no `TextFeatures`, or does not take settings or state.
        FileNotFoundError: An encoder that the features need is not there.
    """
    # the folder of a cache is the user's own: nothing is written to a place that a file names
    init_args = {name: value for name, value in stored["init_args"].items() if name != "cache_dir"}
    if init_args.get("cleaning") is not None:
        init_args["cleaning"] = cleaning_from_dict(init_args["cleaning"])
    path = {"class_path": stored["class_path"], "init_args": init_args}
    features = component_from_dict(path, TextFeatures, "features")  # type: ignore[type-abstract]
    features.load_state_dict(stored["state"])
    return features
