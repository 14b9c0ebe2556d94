"""Multi-label nearest neighbors, ML-kNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn.functional import normalize

from mlemo.batch import Batch
from mlemo.labels import LabelSpace
from mlemo.models.fitted_model import FittedModel
from mlemo.nn.features import TextFeatures
from mlemo.nn.logistic_regression import CERTAIN

__all__ = ["NearestNeighbors"]

BLOCK = 64  #: training rows whose neighbors are searched at once


class NearestNeighbors(FittedModel):
    """ML-kNN (Zhang and Zhou 2007): the posterior of each label, given how many of the k nearest rows have it.

    With ``n_c(x)`` of the k nearest training rows having label c, the logit is

        log P(H_c) P(n_c(x) | H_c) − log P(¬H_c) P(n_c(x) | ¬H_c)

        P(H_c) = (s + Σ_i y_ic) / (2s + N)
        P(j | H_c) = (s + κ_c[j]) / (s (k + 1) + Σ_m κ_c[m])

    where ``κ_c[j]`` is the number of training rows with label c of which j of the k nearest other training rows have it
    (eq. 1 to 3 and Figure 1 of the paper); likewise for ¬H_c with the rows without the label. Only rows that are
    annotated for c count for it, as neighbors too; a label without such rows is absent. Near is the cosine for texts,
    and the Euclidean distance for tabular corpora. The training rows are part of the checkpoint.

    Args:
        label_space: The labels.
        features: Conversion of texts to vectors; by default the TF-IDF weights of words and characters, as sparse
            features. Not needed for tabular corpora.
        neighbors: k.
        smoothing: s, the weight of the uniform prior of each probability.
        kwargs: Settings of ``FittedModel``: ``loss``.

    Raises:
        ValueError: ``neighbors`` is below one, or ``smoothing`` is not positive.

    Reference:
        Zhang, Zhou, *ML-KNN: A Lazy Learning Approach to Multi-Label Learning*, Pattern Recognition 40, 2007.
    """

    rows: Tensor  # (N, F), or the values (nnz,) of sparse rows
    places: Tensor  # (2, nnz) int32, row and column of each value; (2, 0) for dense rows
    labels: Tensor  # (N, C) bool, False where not annotated
    known: Tensor  # (N, C) bool
    table: Tensor  # (C, k + 1), the logit of each label by the number of neighbors that have it

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        features: TextFeatures | None = None,
        neighbors: int = 10,
        smoothing: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, features, **kwargs)
        if neighbors < 1:
            raise ValueError(f"NearestNeighbors.neighbors must be at least 1, found {neighbors}")
        if not smoothing > 0:
            raise ValueError(f"NearestNeighbors.smoothing must be positive, found {smoothing}")
        self.neighbors, self.smoothing = neighbors, smoothing

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the table; ``fit`` and checkpoints bring the rows."""
        self.register_buffer("table", torch.zeros(len(self.label_space), self.neighbors + 1))
        self._reserve((0, width), 0, 0)

    def _reserve(self, rows: Sequence[int], values: int, count: int) -> None:
        """Make room for ``count`` rows."""
        shape = count, len(self.label_space)
        self.register_buffer("rows", torch.zeros(*rows))
        self.register_buffer("places", torch.zeros(2, values, dtype=torch.int32))
        self.register_buffer("labels", torch.zeros(shape, dtype=torch.bool))
        self.register_buffer("known", torch.zeros(shape, dtype=torch.bool))

    def configure_model(self) -> None:
        """Create the model before training, with the training rows, so that no tensor changes its size later."""
        super().configure_model()
        if self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        train = self.trainer.datamodule.dataset("train", self.data_input)  # type: ignore[attr-defined]  # set by Trainer.fit
        self._take(train.features, train.labels, train.mask)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make room for the training rows of the checkpoint."""
        super().on_load_checkpoint(checkpoint)
        stored = checkpoint["state_dict"]
        self._reserve(stored["rows"].shape, stored["places"].shape[1], len(stored["labels"]))
        self.to(self.device)

    def _take(self, features: Tensor, labels: Tensor, mask: Tensor) -> None:
        """Keep the training rows, of length 1 where similarity is the cosine."""
        self.labels, self.known = (labels > 0.5) & mask, mask
        if features.is_sparse:
            features = features.coalesce()
            indices, values = features.indices(), features.values()
            squares = torch.zeros(len(features), device=values.device).index_add(0, indices[0], values.square())
            self.rows = values / squares.sqrt()[indices[0]]
            self.places = indices.int()
        else:
            self.rows = normalize(features) if self._by_cosine else features.clone()
        self.to(self.device)

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, mask: Tensor, candidate: int = 0) -> None:
        """Keep the rows, and count the labels of the neighbors of each; see ``FittedModel.fit``."""
        self._take(features, labels, mask)
        everything = torch.arange(len(labels), device=self.device)
        rows = self._rows()
        counts = torch.cat([self._counts(_dense(rows.index_select(0, own)), own) for own in everything.split(BLOCK)])
        # κ of the rows without and with each label, (2, C, k + 1)
        count = torch.arange(self.neighbors + 1, device=self.device)
        found = (counts[..., None] == count) & self.known[..., None]
        with_label = self.labels[..., None]
        kappa = torch.stack([(found & ~with_label).sum(0), (found & with_label).sum(0)]).double()
        prior = self.smoothing + kappa.sum(-1, keepdim=True)  # the denominator is the same for both
        given = (self.smoothing + kappa) / (self.smoothing * (self.neighbors + 1) + kappa.sum(-1, keepdim=True))
        absent, present = (prior * given).log()
        table = torch.where(self.known.any(0)[:, None], present - absent, -CERTAIN)
        self.table = table.to(self.table.dtype)

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``."""
        features = batch["features"]
        with torch.autocast(features.device.type, enabled=False):
            counts = self._counts(normalize(features.float()) if self._by_cosine else features.float())
            return self.table.T.gather(0, counts)

    @property
    def _by_cosine(self) -> bool:
        return self.features is not None

    def _rows(self) -> Tensor:
        """Features of the training rows, ``(N, F)``, sparse or dense."""
        if self.rows.ndim == 2:
            return self.rows
        shape = (len(self.labels), self.width or 0)
        return torch.sparse_coo_tensor(self.places.long(), self.rows, shape, is_coalesced=True, check_invariants=False)

    def _counts(self, features: Tensor, own: Tensor | None = None) -> Tensor:
        """How many of the nearest rows have each label.

        Args:
            features: ``(B, F)`` of length 1 where similarity is the cosine.
            own: ``(B,)`` training row of each, which is not its own neighbor; ``None`` for other rows.

        Returns:
            ``(B, C)`` long.
        """
        similarity = self._similarity(features)
        if own is not None:
            similarity[torch.arange(len(own), device=own.device), own] = -torch.inf
        counts = torch.zeros(len(features), len(self.label_space), dtype=torch.long, device=features.device)
        # labels that are annotated in the same rows have the same neighbors: there is one pattern in most corpora
        patterns, pattern_of = self.known.T.unique(dim=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            nearest = similarity.masked_fill(~pattern, -torch.inf).topk(min(self.neighbors, len(pattern)))
            columns = pattern_of == number
            present = self.labels[:, columns][nearest.indices]  # (B, k, labels of the pattern)
            counts[:, columns] = (present & nearest.values.isfinite()[..., None]).sum(1)
        return counts

    def _similarity(self, features: Tensor) -> Tensor:
        """Cosine with each training row, or minus the distance, ``(B, N)``."""
        rows = self._rows()
        if rows.is_sparse:
            return torch.sparse.mm(rows, features.T.contiguous()).T
        if self._by_cosine:
            return features @ rows.T
        return -torch.cdist(features, rows, compute_mode="donot_use_mm_for_euclid_dist")


def _dense(features: Tensor) -> Tensor:
    return features.to_dense() if features.is_sparse else features
