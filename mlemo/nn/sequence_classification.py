"""A linear head over the first token's state, in the form of the sequence classifiers of transformers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LAYOUTS", "Layout", "from_sequence_classifier", "to_sequence_classifier"]

#: ε of ``tanh(ε x) / ε ≈ x``, whose relative error is (ε x)² / 3, below the rounding of float32 for |x| < 2; a power of
#: two, so that scaling and scaling back are exact.
SCALE = 2.0**-12


@dataclass(frozen=True)
class Layout:
    """Where a sequence classifier of transformers has its head ``W₂ tanh(W₁ h + b₁) + b₂``, with h the first state.

    Args:
        architecture: Class of transformers.
        inner: Name of W₁ and b₁.
        outer: Name of W₂ and b₂.
    """

    architecture: str
    inner: str
    outer: str


#: Layouts by the ``model_type`` of the encoder's config.
LAYOUTS = {
    "bert": Layout("BertForSequenceClassification", "bert.pooler.dense", "classifier"),
    "roberta": Layout("RobertaForSequenceClassification", "classifier.dense", "classifier.out_proj"),
    "xlm-roberta": Layout("XLMRobertaForSequenceClassification", "classifier.dense", "classifier.out_proj"),
}


def to_sequence_classifier(weights: Mapping[str, Tensor], model_type: str) -> dict[str, Tensor]:
    """Weights of a sequence classifier of transformers with the logits of ``head.weight · h + head.bias``.

    Those classifiers have a tanh layer before the linear map. It is passed in its linear range:
    ``W₁ = ε I, b₁ = 0, W₂ = W / ε``.

    Args:
        weights: Weights with ``head.weight`` ``(C, d)`` and ``head.bias`` ``(C,)``; others are kept.
        model_type: A key of ``LAYOUTS``.

    Example:
        >>> head = {"head.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}
        >>> back = from_sequence_classifier(to_sequence_classifier(head, "bert"), "bert")
        >>> all(torch.equal(back[name], head[name]) for name in head)
        True
    """
    layout, result = LAYOUTS[model_type], dict(weights)
    weight = result.pop("head.weight")
    return result | {
        f"{layout.inner}.weight": SCALE * torch.eye(weight.shape[1]),
        f"{layout.inner}.bias": torch.zeros(weight.shape[1]),
        f"{layout.outer}.weight": weight / SCALE,
        f"{layout.outer}.bias": result.pop("head.bias"),
    }


def from_sequence_classifier(weights: Mapping[str, Tensor], model_type: str) -> dict[str, Tensor]:
    """Undo `to_sequence_classifier`, exactly."""
    layout, result = LAYOUTS[model_type], dict(weights)
    for name in ("weight", "bias"):
        del result[f"{layout.inner}.{name}"]
    return result | {
        "head.weight": result.pop(f"{layout.outer}.weight") * SCALE,
        "head.bias": result.pop(f"{layout.outer}.bias"),
    }
