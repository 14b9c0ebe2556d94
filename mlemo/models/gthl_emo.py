"""GTHL-Emo: a batch graph beside the text, label embeddings that attend to it, and a hybrid loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch_geometric.utils import degree

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.losses.hybrid import HybridLoss
from mlemo.models.text_model import TextModel
from mlemo.nn.attention_pooling import AttentionPooling
from mlemo.nn.batch_graph import BatchGraph, Construction, Graph
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.graph_network import GraphNetwork, Kind
from mlemo.nn.label_transformer import LabelTransformer, label_attention
from mlemo.nn.memory import Memory

__all__ = ["GTHLEmo", "Reading"]

Inference = Literal["batch", "memory", "none"]
PART = 64  #: texts that are put into the memory at a time


@dataclass(frozen=True)
class Reading:
    """Everything that the network makes of a batch, for training and for explanations.

    Args:
        logits: ``(B, C)``.
        embeddings: Pooled texts, ``(B, d)``.
        attention: Weight of each token in its text's embedding, ``(B, L)``.
        graph: The batch's graph, where there is one.
        label_weights: Weight of each token for each label, ``(B, C, L)``, with label attention.
        affinity: log Q, ``(C, C)``, the labels' affinities, with a label transformer.
    """

    logits: Tensor
    embeddings: Tensor
    attention: Tensor
    graph: Graph | None
    label_weights: Tensor | None
    affinity: Tensor | None


class GTHLEmo(TextModel):
    """Graph, transformer and hybrid loss for Arabic emotions (Alrasheedy et al., Electronics 2026).

    Attention pooling gives a text's embedding s (eq. 3-5); a graph over the batch (eq. 6-8) and a graph network give
    what it hears from its neighbours, g (eq. 9-10); refined label embeddings L' (eq. 11) attend to the tokens; then

        z = LayerNorm(ReLU(W [s; g] + b)),   logits = W_cls z + b_cls + ⟨L'_c, u_c⟩/√d       (eq. 12-13)

    with u_c the label's own view of the text. Labels shape the graph in training only; in evaluation no logit depends
    on them. In validation and test the neighbours of a text come from ``graph_inference``; for new texts (`predict`,
    `classify`) from the memory, so that a text's prediction does not depend on the texts beside it.

    Args:
        label_space: The labels.
        encoder: A name on the hub, a local folder in its layout, or an encoder source such as ``FromScratch``.
        loss: Any loss of mlemo; ``HybridLoss`` if left out.
        top_k: Tokens with a weight in the attention pooling; ``None`` for all.
        graph: How texts are linked (``BatchGraph``), or ``none`` to leave graph and graph network out.
        threshold: Similarity from which texts are linked; ``None`` takes the ``percentile`` of the batch, and every
            nearest text of the memory.
        percentile: See ``threshold``.
        neighbors: Most neighbours a text hears from.
        temperature: T of the gradient that passes through the threshold (``BatchGraph``).
        network: ``sage``, ``gcn`` or ``gat``.
        depth: Layers of the graph network.
        label_layers: Layers of the label transformer; ``None`` leaves out the labels' embeddings and all their uses.
        label_heads: Its attention heads.
        label_attention: Add the labels' own views of the text to the logits, where there are label embeddings.
        dropout: Dropout in all parts but the encoder (whose own is set at the encoder).
        graph_inference: In validation and test: ``batch`` links the texts of a batch, as the paper does, so scores
            depend on the batches; ``memory`` links each text to its nearest training texts; ``none`` to nobody.
        memory_rows: Most training texts that the memory holds (drawn once), which are encoded before each validation
            of the training; 0 for no memory.
        kwargs: Settings of ``TextModel``: ``max_length``, ``cleaning``, ``optimization``.

    Raises:
        ValueError: ``graph_inference="memory"`` without a memory, or a negative ``memory_rows``.
    """

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str = "UBC-NLP/MARBERT",
        loss: Loss | None = None,
        *,
        top_k: int | None = 5,
        graph: Construction | Literal["none"] = "mixed",
        threshold: float | None = None,
        percentile: float = 75.0,
        neighbors: int = 5,
        temperature: float = 0.07,
        network: Kind = "sage",
        depth: int = 2,
        label_layers: int | None = 2,
        label_heads: int = 8,
        label_attention: bool = True,
        dropout: float = 0.1,
        graph_inference: Inference = "batch",
        memory_rows: int = 20_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, encoder, HybridLoss() if loss is None else loss, **kwargs)
        if memory_rows < (graph_inference == "memory"):
            raise ValueError(
                f"model.memory_rows must be at least {int(graph_inference == 'memory')} where model.graph_inference is "
                f"{graph_inference!r}, found {memory_rows}"
            )
        self.top_k, self.graph, self.neighbors = top_k, graph, neighbors
        self.threshold, self.percentile, self.temperature = threshold, percentile, temperature
        self.network, self.depth, self.dropout = network, depth, dropout
        self.label_layers, self.label_heads, self.label_attention = label_layers, label_heads, label_attention
        self.graph_inference, self.memory_rows = graph_inference, memory_rows
        self.memory: Memory | None = None

    def build_head(self, width: int) -> None:
        """Everything above the encoder."""
        self.pooling = AttentionPooling(width, self.top_k)
        self.linker = self.graph_network = None
        if self.graph != "none":
            self.linker = BatchGraph(self.graph, self.threshold, self.percentile, self.neighbors, self.temperature)
            self.graph_network = GraphNetwork(width, self.network, self.depth, self.dropout)
        self.label_transformer = None
        if self.label_layers is not None:
            self.label_transformer = LabelTransformer(
                len(self.label_space), width, layers=self.label_layers, heads=self.label_heads, dropout=self.dropout
            )
        self.fusion = nn.Sequential(
            nn.Linear(width if self.graph_network is None else 2 * width, width), nn.ReLU(), nn.LayerNorm(width)
        )
        self.head = nn.Sequential(nn.Dropout(self.dropout), nn.Linear(width, len(self.label_space)))

    # forward ----------------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)``; in evaluation with neighbours by ``graph_inference``."""
        return self.read(batch, "batch" if self.training else self.graph_inference).logits

    def predict_logits(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)`` of new texts, whose neighbours come from the memory (from nowhere without one)."""
        return self.read(batch, "none" if self.memory is None else "memory").logits

    def outputs(self, batch: Batch) -> ModelOutput:
        """Logits, the labels' affinities for the loss, and in training what is worth watching of the graph."""
        reading = self.read(batch, "batch" if self.training else self.graph_inference)
        context = {} if reading.affinity is None else {"label_affinity": reading.affinity}
        return ModelOutput(reading.logits, context=context, diagnostics=self._diagnostics(reading))

    def read(self, batch: Batch, inference: Inference) -> Reading:
        """Everything that the network makes of a batch."""
        states = self.encode(batch)
        embeddings, attention = self.pooling(states, batch["attention_mask"])
        graph, heard = self._listen(embeddings, batch, inference)
        fused = self.fusion(embeddings if heard is None else torch.cat([embeddings, heard], 1))
        logits = self.head(fused)
        label_weights = affinity = None
        if self.label_transformer is not None:
            labels = self.label_transformer()
            affinity = self.label_transformer.affinity(labels)
            if self.label_attention:
                views, label_weights = label_attention(labels, states, batch["attention_mask"])
                logits = logits + views
        return Reading(logits, embeddings, attention, graph, label_weights, affinity)

    def _listen(self, embeddings: Tensor, batch: Batch, inference: Inference) -> tuple[Graph | None, Tensor | None]:
        """The graph, and the state of each text behind the graph network."""
        if self.linker is None or self.graph_network is None:
            return None, None
        if inference == "batch":
            seen = (batch["labels"], batch.get("label_mask")) if self.training else (None, None)
            graph = self.linker(embeddings, *seen)
            return graph, self.graph_network(embeddings, graph.edges, graph.weights)
        if inference == "memory":
            if self.memory is not None:
                return None, self._from_memory(embeddings, self.memory)
            if self._trainer is not None and not self.trainer.sanity_checking:
                rank_zero_warn("there is no memory, which a validation in training makes: no text hears from another")
        alone = torch.empty(2, 0, dtype=torch.long, device=embeddings.device)
        return None, self.graph_network(embeddings, alone, embeddings.new_empty(0))

    def _from_memory(self, states: Tensor, memory: Memory) -> Tensor:
        memory.to(states.device)
        near = memory.nearest(states, self.neighbors)
        for layer in range(self.depth):
            states = self._layer_with_memory(layer, states, memory.states[layer], *near)
        return states

    def _layer_with_memory(
        self, layer: int, states: Tensor, remembered: Tensor, similarity: Tensor, places: Tensor
    ) -> Tensor:
        """One layer of the graph network over texts that hear from their nearest texts in the memory alone."""
        linked = similarity >= (-torch.inf if self.threshold is None else self.threshold)
        targets, column = linked.nonzero(as_tuple=True)
        sources = remembered[places[targets, column]].to(states.dtype)
        edges = torch.stack([len(states) + torch.arange(len(targets), device=states.device), targets])
        every = torch.cat([states, sources])
        return self.graph_network.layer(layer, every, edges, every.new_ones(len(targets)))[: len(states)]  # type: ignore[union-attr]  # there is a graph where a memory is

    def _diagnostics(self, reading: Reading) -> dict[str, Tensor]:
        if not self.training or reading.graph is None or self.graph_network is None:
            return {}
        graph, nodes = reading.graph, len(reading.logits)
        heard_from = degree(graph.edges[1], nodes)
        values = {"edges_per_node": heard_from.mean(), "isolated_nodes": (heard_from == 0).float().mean()}
        if graph.mixture is not None:
            values |= {"lambda_jaccard": graph.mixture[0], "lambda_cosine": graph.mixture[1]}
        for layer, mixture in enumerate(self.graph_network.mixtures()):
            values |= {f"aggregation_{layer}_{name}": weight for name, weight in mixture.items()}
        return values

    # memory -----------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Renew the memory in training, before validation and with its weights (the averaged ones, where these are)."""
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.remember()

    def remember(self) -> None:
        """Fill the memory with training texts, as the present weights see them."""
        if self.graph_network is None or not self.memory_rows:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
        dataset = data.dataset("train", self.data_input)
        rows = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(data.seed))[: self.memory_rows]
        # texts of like length together: little padding
        rows = rows[dataset.lengths[rows].argsort(descending=True, stable=True)]
        parts = torch.arange(len(rows), device=self.device).split(PART)
        with torch.no_grad(), self.trainer.precision_plugin.forward_context():
            states = [torch.cat([self._embed(dataset.__getitems__(part)) for part in rows.split(PART)])]
            if self.depth > 1:
                found = Memory(states[0][None], rows)
                near = [found.nearest(states[0][part], self.neighbors, exclude=part) for part in parts]
            for layer in range(self.depth - 1):
                before = states[-1]
                after = [
                    self._layer_with_memory(layer, before[part], before, *places) for part, places in zip(parts, near)
                ]
                states.append(torch.cat(after).float())
        self.memory = Memory(torch.stack(states), rows)

    def _embed(self, batch: Batch) -> Tensor:
        batch = self.transfer_batch_to_device(batch, self.device, 0)
        return self.pooling(self.encode(batch), batch["attention_mask"])[0].float()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the memory into the checkpoint, under a key of its own."""
        super().on_save_checkpoint(checkpoint)
        if self.memory is not None:
            checkpoint["memory"] = self.memory.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the memory from the checkpoint."""
        super().on_load_checkpoint(checkpoint)
        self.memory = Memory(**checkpoint["memory"]) if "memory" in checkpoint else None
