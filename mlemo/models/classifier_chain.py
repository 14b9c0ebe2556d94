"""Classifier chains: each label's regression is given the labels before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from mlemo.batch import Batch
from mlemo.labels import LabelSpace
from mlemo.models.fitted_model import FittedModel
from mlemo.models.linear import candidates_of
from mlemo.nn.features import TextFeatures
from mlemo.nn.logistic_regression import as_matrix, logistic_regression

if TYPE_CHECKING:
    from mlemo.nn.logistic_regression import Matrix

__all__ = ["ClassifierChain"]


class ClassifierChain(FittedModel):
    """Ensemble of classifier chains (Read et al. 2011) of logistic regressions.

    With the labels in the order ``π`` of a chain, ``p_π(m) = σ(w·x + Σ_{j<m} v_j p_π(j) + b)``. The regression of a
    label is fitted as that of ``Linear``, with the gold labels before it in place of their probabilities. An entry of
    these that is not annotated has the probability that the chain itself predicts. The probability of a label is the
    mean over the chains.

    Args:
        label_space: The labels.
        features: Conversion of texts to vectors; by default the TF-IDF weights of words and characters, as sparse
            features. Not needed for tabular corpora.
        chains: Number of chains. Their orders are random, and follow the seed of the run.
        order: Names of all labels, the order of a single chain.
        regularization: C, the inverse strength of the penalty; of several numbers each is fitted in an epoch of its
            own, and the one with the best monitor on validation is kept.
        kwargs: Settings of ``FittedModel``: ``loss``.

    Raises:
        ValueError: ``chains`` is below one, ``order`` is given for several chains or does not have each label once, or
            a ``regularization`` is not positive.

    Reference:
        Read, Pfahringer, Holmes, Frank, *Classifier Chains for Multi-Label Classification*, Machine Learning 85, 2011.
    """

    order: Tensor  # (K, C) long, the labels of each chain in its order
    weight: nn.Parameter  # (K, C, F)
    links: nn.Parameter  # (K, C, C), 0 where the label of the column does not come before that of the row
    bias: nn.Parameter  # (K, C)

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        features: TextFeatures | None = None,
        chains: int = 10,
        order: list[str] | None = None,
        regularization: float | tuple[float, ...] = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, features, **kwargs)
        if chains < 1:
            raise ValueError(f"ClassifierChain.chains must be at least 1, found {chains}")
        names = self.label_space.names
        if order is not None and (chains != 1 or sorted(order) != sorted(names)):
            raise ValueError(
                f"ClassifierChain.order has each label of {list(names)} once, for a single chain; found {list(order)} "
                f"for {chains} chains"
            )
        self.chains, self.given_order = chains, order
        self.candidates = candidates_of(regularization, type(self).__name__)

    @property
    def fits(self) -> int:
        """Number of fits, one per candidate of ``regularization``."""
        return len(self.candidates)

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the weights, and draw the orders."""
        count, names = len(self.label_space), self.label_space.names
        if self.given_order is None:
            order = torch.stack([torch.randperm(count) for _ in range(self.chains)])
        else:
            order = torch.tensor([[names.index(name) for name in self.given_order]])
        self.register_buffer("order", order)
        self.weight = nn.Parameter(torch.zeros(self.chains, count, width), requires_grad=False)
        self.links = nn.Parameter(torch.zeros(self.chains, count, count), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(self.chains, count), requires_grad=False)

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, mask: Tensor, candidate: int = 0) -> None:
        """Solve the regressions of each chain, label by label; see ``FittedModel.fit``."""
        matrix, targets, known = as_matrix(features), (labels > 0.5).cpu().numpy(), mask.cpu().numpy()
        width = features.shape[1]
        self.links.zero_()
        for chain, order in enumerate(self.order.tolist()):
            before = np.zeros((len(targets), 0))
            for place, label in enumerate(order):
                inputs, rows = _beside(matrix, before), known[:, label]
                weight, bias = logistic_regression(inputs[rows], targets[rows, label], self.candidates[candidate])
                predicted = 1 / (1 + np.exp(-(inputs @ weight + bias)))
                before = np.column_stack([before, np.where(rows, targets[:, label], predicted)])
                self.weight[chain, label] = torch.from_numpy(weight[:width])
                self.links[chain, label, order[:place]] = torch.from_numpy(weight[width:]).to(self.links)
                self.bias[chain, label] = bias

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``, of the mean probability over the chains."""
        features = batch["features"]
        with torch.autocast(features.device.type, enabled=False):
            logits = torch.einsum("bf,kcf->bkc", features.float(), self.weight.float()) + self.bias.float()
            probabilities, links = torch.zeros_like(logits), self.links.float()
            chain = torch.arange(self.chains, device=features.device)
            for label in self.order.T:  # in the order of each chain
                logits[:, chain, label] += (links[chain, label] * probabilities).sum(-1)
                probabilities[:, chain, label] = logits[:, chain, label].sigmoid()
            # log(mean p) - log(mean (1 - p)), which stays finite where a probability rounds to 0 or 1
            return logsigmoid(logits).logsumexp(1) - logsigmoid(-logits).logsumexp(1)


def _beside(matrix: Matrix, columns: np.ndarray[Any, np.dtype[np.float64]]) -> Matrix:
    """Append dense columns to features."""
    if isinstance(matrix, np.ndarray):
        return np.hstack([matrix, columns])
    from scipy.sparse import csr_matrix, hstack  # noqa: PLC0415  # few models need it

    return hstack([matrix, csr_matrix(columns)]).tocsr()
