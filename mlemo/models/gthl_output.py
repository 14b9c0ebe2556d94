"""The output of GTHL-Emo for a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from mlemo.nn.batch_graph import Graph

__all__ = ["GTHLEmoOutput"]


@dataclass(frozen=True)
class GTHLEmoOutput:
    """Everything computed by the network for a batch, for training and explanations.

    Args:
        logits: ``(B, C)``.
        embeddings: Pooled texts, ``(B, d)``.
        attention: Weight of each token in its text's embedding, ``(B, L)``.
        graph: The batch's graph, if any.
        label_weights: Weight of each token for each label, ``(B, C, L)``, with label attention.
        affinity: log Q, ``(C, C)``, affinities of the labels, with a label transformer.
        other_logits: ``(B, C)`` of other inference modes, by name.
    """

    logits: Tensor
    embeddings: Tensor
    attention: Tensor
    graph: Graph | None
    label_weights: Tensor | None
    affinity: Tensor | None
    other_logits: dict[str, Tensor] = field(default_factory=dict)
