"""Similarity of texts and label descriptions: cosines, offsets, and a linear head that starts from them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mlemo.nn.logistic_regression import logistic_regression

__all__ = ["cosines", "offsets", "similarity_head"]

PREFERENCE = 3.0  #: factor of the cosine as a feature of the head; its weight is penalized by the inverse square


def cosines(texts: Tensor, descriptions: Tensor) -> Tensor:
    """Cosines ``(N, C)`` of texts ``(N, d)`` and label descriptions ``(C, d)``, in float32 also in mixed precision."""
    with torch.autocast(texts.device.type, enabled=False):
        return normalize(texts.float(), dim=1) @ normalize(descriptions.float(), dim=1).T


def offsets(similarities: Tensor, shares: Tensor) -> Tensor:
    """Offsets above which a share of the texts is: the quantile ``1 − share_c`` of column c.

    Args:
        similarities: ``(N, C)``.
        shares: ``(C,)`` within [0, 1].

    Returns:
        ``(C,)``.

    Example:
        >>> offsets(torch.tensor([[0.1], [0.2], [0.3], [0.4], [0.5]]), torch.tensor([0.25]))
        tensor([0.4000])
    """
    return torch.stack([column.quantile(1 - share) for column, share in zip(similarities.T, shares)])


def similarity_head(texts: Tensor, descriptions: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Fit ``logit_c = u_c · x + 3 a_c cos(x, d_c) + b_c`` to the rows of label c, with x of unit length.

    A logistic regression per label with penalty ``½ (‖u_c‖² + a_c²)``, in which positive and negative rows have the
    same total weight (see `mlemo.nn.logistic_regression`).

    Args:
        texts: ``(N, d)``.
        descriptions: d_c, ``(C, d)``.
        labels: ``(N, C)``.
        mask: ``(N, C)`` bool, ``False`` where not annotated.

    Returns:
        Weight ``(C, d)`` for vectors of unit length, the cosine included, and bias ``(C,)``; float32, on the CPU.
    """
    vectors, anchors = (normalize(part.float().cpu(), dim=1).double().numpy() for part in (texts, descriptions))
    targets, known = (labels > 0.5).cpu().numpy(), mask.cpu().numpy()
    weight, bias = np.zeros(anchors.shape), np.zeros(len(anchors))
    for label, anchor in enumerate(anchors):
        rows = known[:, label]
        features = np.column_stack([vectors, PREFERENCE * vectors @ anchor])[rows]
        found, bias[label] = logistic_regression(features, targets[rows, label], 1.0, balanced=True)
        weight[label] = found[:-1] + found[-1] * PREFERENCE * anchor
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()
