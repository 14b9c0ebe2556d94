"""CLIF: label-specific features, gated by label embeddings from a graph of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.models.feature_model import FeatureModel
from mlemo.nn.label_graph import LabelGraphEncoder, conditional_adjacency
from mlemo.nn.per_label import PerLabelLinear
from mlemo.nn.rectifier_mlp import rectifier_mlp

__all__ = ["CLIF"]


class CLIF(FeatureModel):
    """Collaborative learning of label semantics and deep label-specific features (Hang and Zhang, TPAMI 2022).

    Label k has an embedding e_k, from two graph isomorphism layers over the label graph A (``conditional_adjacency``);
    its logit is computed from label-specific features, ``f_k = MLP_out(MLP_in(x) ⊙ σ(W e_k + b))`` and ``logit_k = w_k
    · f_k + b_k``. The objective adds ``semantic_weight · mean_ij (cos(e_i, e_j) − (A + I)_ij)²`` to the loss. The input
    vectors of the labels are random and fixed.

    Args:
        label_space: The labels.
        embedding: Dimension of the label embeddings.
        hidden: Width of the feature networks.
        input_layers: Layers of MLP_in.
        dropout: Dropout in MLP_in and in the layers of the graph.
        semantic_weight: λ; the authors' settings are between 0.0001 and 1.
        label_graph: ``False`` uses the identity in place of A: labels do not interact, and the target of the cosines is
            ``2 I``, as in the code behind the adaptive batch selection paper.
        kwargs: Settings of ``FeatureModel``: ``features``, ``loss``, ``optimization``.
    """

    adjacency: Tensor
    label_vectors: Tensor

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        *,
        embedding: int = 128,
        hidden: int = 512,
        input_layers: int = 1,
        dropout: float = 0.2,
        semantic_weight: float = 1e-3,
        label_graph: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, **kwargs)
        self.embedding, self.hidden, self.input_layers = embedding, hidden, input_layers
        self.dropout, self.semantic_weight, self.label_graph = dropout, semantic_weight, label_graph

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the label graph and its encoder, the networks of the features, and one linear unit per label."""
        count = len(self.label_space)
        self.register_buffer("adjacency", conditional_adjacency(labels) if self.label_graph else torch.eye(count))
        self.register_buffer("label_vectors", torch.randn(count, count))
        self.label_encoder = LabelGraphEncoder(count, self.embedding, self.dropout)
        self.input_network = rectifier_mlp([width] + [self.hidden] * self.input_layers, slope=0.1, dropout=self.dropout)
        self.gate = nn.Linear(self.embedding, self.hidden)
        self.output_network = rectifier_mlp([self.hidden, self.hidden], slope=0.1)
        self.head = PerLabelLinear(count, self.hidden)

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``."""
        return self._classify(batch["features"], self.label_encoder(self.label_vectors, self.adjacency))

    def outputs(self, batch: Batch) -> ModelOutput:
        """Compute the logits, and in training the distance of the embeddings' cosines from the label graph."""
        embeddings = self.label_encoder(self.label_vectors, self.adjacency)
        logits = self._classify(batch["features"], embeddings)
        if not self.training:
            return ModelOutput(logits)
        normal = F.normalize(embeddings.float(), dim=1)
        goal = self.adjacency + torch.eye(len(normal), device=normal.device)
        return ModelOutput(logits, {"semantic": self.semantic_weight * (normal @ normal.T - goal).square().mean()})

    def _classify(self, features: Tensor, embeddings: Tensor) -> Tensor:
        gates = self.gate(embeddings).sigmoid()  # (C, hidden)
        return self.head(self.output_network(self.input_network(features)[:, None] * gates))
