"""Logistic regression per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from mlemo.batch import Batch
from mlemo.labels import LabelSpace
from mlemo.models.fitted_model import FittedModel
from mlemo.nn.features import TextFeatures
from mlemo.nn.logistic_regression import as_matrix, logistic_regression

__all__ = ["Linear", "candidates_of"]


def candidates_of(regularization: float | Sequence[float], name: str) -> tuple[float, ...]:
    """Return the inverse strengths of the penalty to fit with.

    Args:
        regularization: One or several.
        name: Name of the model, for the error.

    Raises:
        ValueError: There is none, or one is not positive.
    """
    values = (regularization,) if isinstance(regularization, int | float) else tuple(regularization)
    if not values or not all(value > 0 for value in values):
        raise ValueError(f"{name}.regularization must be positive, one number or several, found {regularization}")
    return values


class Linear(FittedModel):
    """One L2-regularized logistic regression per label: ``logit_c = w_c·x + b_c``, the baseline of every table.

    ``w_c, b_c`` minimize ``½ ‖w‖² + C Σ log(1 + exp(−(2y − 1)(w·x + b)))`` over the training rows that are annotated
    for label c (see `mlemo.nn.logistic_regression`). A label with one value in all of them has that value everywhere,
    and one without annotated rows is absent.

    Args:
        label_space: The labels.
        features: Conversion of texts to vectors; by default the TF-IDF weights of words and characters, as sparse
            features. Not needed for tabular corpora.
        regularization: C, the inverse strength of the penalty; of several numbers each is fitted in an epoch of its
            own, and the one with the best monitor on validation is kept.
        kwargs: Settings of ``FittedModel``: ``loss``.

    Raises:
        ValueError: A ``regularization`` is not positive.

    Example:
        >>> model = Linear(["joy"], regularization=1.0)
        >>> model.build(1)
        >>> labels = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
        >>> model.fit(torch.arange(4.0)[:, None], labels, torch.ones(4, 1, dtype=torch.bool))
        >>> model({"features": torch.tensor([[3.0]])}).sigmoid().item()  # doctest: +ELLIPSIS
        0.66...
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        features: TextFeatures | None = None,
        regularization: float | tuple[float, ...] = (0.5, 1.0, 2.0, 4.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, features, **kwargs)
        self.candidates = candidates_of(regularization, type(self).__name__)

    @property
    def fits(self) -> int:
        """Number of fits, one per candidate of ``regularization``."""
        return len(self.candidates)

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the weights."""
        count = len(self.label_space)
        self.weight = nn.Parameter(torch.zeros(count, width), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(count), requires_grad=False)

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, mask: Tensor, candidate: int = 0) -> None:
        """Solve the regression of each label; see ``FittedModel.fit``."""
        matrix, targets, known = as_matrix(features), (labels > 0.5).cpu().numpy(), mask.cpu().numpy()
        for label, rows in enumerate(known.T):
            weight, bias = logistic_regression(matrix[rows], targets[rows, label], self.candidates[candidate])
            self.weight[label] = torch.from_numpy(weight)
            self.bias[label] = bias

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``."""
        features = batch["features"]
        with torch.autocast(features.device.type, enabled=False):
            return linear(features.float(), self.weight.float(), self.bias.float())
