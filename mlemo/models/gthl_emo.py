"""GTHL-Emo: a graph of texts beside the text encoder, label embeddings that attend to the tokens, a hybrid loss."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.losses.hybrid import HybridLoss
from mlemo.models.base import Parts
from mlemo.models.gthl_output import GTHLEmoOutput
from mlemo.models.text_model import TextModel
from mlemo.nn.attention_pooling import AttentionPooling
from mlemo.nn.batch_graph import BatchGraph, Construction, Graph
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.graph_network import GraphNetwork, Kind
from mlemo.nn.label_transformer import LabelTransformer, label_attention
from mlemo.nn.memory import Memory
from mlemo.nn.memory_graph import memory_states, pass_from_memory
from mlemo.nn.shares import in_shares

__all__ = ["GTHLEmo", "GTHLEmoOutput"]

Inference = Literal["batch", "memory", "none"]
PART = 64  #: texts that are encoded for the memory at a time


class GTHLEmo(TextModel):
    """Graph, transformer and hybrid loss for Arabic emotions (Alrasheedy et al., Electronics 2026).

    Attention pooling gives a text's embedding s (eq. 3-5); a graph network (eq. 9-10) passes messages between the texts
    of a batch (eq. 6-8) and gives the text's state g; refined label embeddings L' (eq. 11) attend to the tokens; then

        z = LayerNorm(ReLU(W [s; g] + b)),   logits = W_cls z + b_cls + ⟨L'_c, u_c⟩/√d       (eq. 12-13)

    with u_c the text as label c attends to it. No logit depends on the text's own labels in evaluation; in training the
    labels of a batch weigh in its graph.

    Beside the published graph, ``graph_inference: memory`` links a text with its nearest training texts in validation
    and test, as it always is in prediction, so that no other text of its batch matters; ``graph: memory`` does so in
    training as well, so that training and use have the same graph.

    Args:
        label_space: The labels.
        encoder: A name on the hub, a local folder in its layout, or an encoder source such as ``FromScratch``.
        loss: Any loss of mlemo; ``HybridLoss`` if left out.
        top_k: Tokens with a weight in the attention pooling; ``None`` for all.
        graph: How texts are linked in training: within a batch (``BatchGraph``), with their nearest training texts out
            of the memory, except themselves (``memory``), or ``none`` to leave graph and graph network out.
        threshold: Similarity from which texts are linked; ``None`` takes the ``percentile`` of the batch, and every
            nearest text of the memory.
        percentile: See ``threshold``.
        neighbors: Most neighbors per text.
        temperature: T of the gradient that passes through the threshold (``BatchGraph``).
        network: ``sage``, ``gcn`` or ``gat``.
        depth: Layers of the graph network.
        label_layers: Layers of the label transformer; ``None`` leaves out the label embeddings and all their uses.
        label_heads: Its attention heads.
        label_attention: Add the labels' own attention to the text to the logits, where there are label embeddings.
        dropout: Dropout in all parts but the encoder (whose own is set at the encoder).
        graph_inference: Neighbors in validation and test: ``memory``, the nearest training texts; ``batch``, the texts
            of the batch, as in the paper, so that scores depend on the batches (prediction has the memory); ``none``.
        memory_rows: Most training texts that the memory holds (drawn once), which are encoded before each validation
            of the training, with ``graph: memory`` also before each training epoch; 0 for no memory.
        neighbor_labels: Add an embedding of the neighbors' gold labels to their states, with ``graph: memory``. A label
            that is not annotated adds nothing.
        kwargs: Settings of ``TextModel``: ``max_length``, ``cleaning``, ``optimization``.

    Raises:
        ValueError: A memory is needed and ``memory_rows`` is 0, ``memory_rows`` is negative, ``graph: memory`` is given
            with ``graph_inference: batch``, or ``neighbor_labels`` with another graph.
    """

    default_parts: ClassVar[Parts] = {**TextModel.default_parts, "loss": partial(HybridLoss)}

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str = "UBC-NLP/MARBERT",
        loss: Loss | None = None,
        *,
        top_k: int | None = 5,
        graph: Construction | Literal["memory", "none"] = "mixed",
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
        graph_inference: Inference = "memory",
        memory_rows: int = 20_000,
        neighbor_labels: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, encoder, loss, **kwargs)
        least = int(graph != "none" and "memory" in (graph, graph_inference))
        if memory_rows < least:
            raise ValueError(
                f"model.memory_rows must be at least {least} where model.graph is {graph!r} and model.graph_inference "
                f"is {graph_inference!r}, found {memory_rows}"
            )
        if graph == "memory" and graph_inference == "batch":
            raise ValueError("model.graph is 'memory', which links no texts of a batch: set graph_inference: memory")
        if neighbor_labels and graph != "memory":
            raise ValueError(f"model.neighbor_labels needs model.graph: memory, found {graph!r}")
        self.top_k, self.graph, self.neighbors = top_k, graph, neighbors
        self.threshold, self.percentile, self.temperature = threshold, percentile, temperature
        self.network, self.depth, self.dropout = network, depth, dropout
        self.label_layers, self.label_heads, self.label_attention = label_layers, label_heads, label_attention
        self.graph_inference, self.memory_rows, self.neighbor_labels = graph_inference, memory_rows, neighbor_labels
        self.memory: Memory | None = None

    def build_head(self, width: int) -> None:
        """Make everything above the encoder."""
        self.pooling = AttentionPooling(width, self.top_k)
        self.linker = self.graph_network = self.label_embedding = None
        if self.graph != "none":
            if self.graph != "memory":
                self.linker = BatchGraph(self.graph, self.threshold, self.percentile, self.neighbors, self.temperature)
            self.graph_network = GraphNetwork(width, self.network, self.depth, self.dropout)
        if self.neighbor_labels:
            self.label_embedding = nn.Linear(len(self.label_space), width, bias=False)
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

    @property
    def inferences(self) -> tuple[str, ...]:
        """Where the neighbors of a text come from: ``graph_inference`` first, then the other way, for comparison."""
        if "none" in (self.graph, self.graph_inference):
            return ("none",)
        if self.graph == "memory":
            return ("memory",)
        if self.graph_inference == "memory":
            return ("memory", "batch")
        return ("batch",) if self.memory is None else ("batch", "memory")

    @property
    def prediction_inference(self) -> str:
        """New texts have neighbors in the memory, or none; never in their batch."""
        return "none" if self.inferences == ("none",) else "memory"

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)``; in evaluation with neighbors by ``graph_inference``."""
        return self.compute(batch, self._inferences()[0]).logits

    def predict_logits(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)`` of new texts, by ``prediction_inference``."""
        return self.compute(batch, self.prediction_inference).logits

    def outputs(self, batch: Batch) -> ModelOutput:
        """Logits, the labels' affinities for the loss, and in training diagnostics of the graph."""
        output = self.compute(batch, *self._inferences())
        context = {} if output.affinity is None else {"label_affinity": output.affinity}
        return ModelOutput(
            output.logits, context=context, diagnostics=self._diagnostics(output), other_logits=output.other_logits
        )

    def _inferences(self) -> tuple[str, ...]:
        if self.training:
            return (self.graph if self.graph in ("memory", "none") else "batch",)
        return self.inferences

    def compute(self, batch: Batch, inference: str, *others: str) -> GTHLEmoOutput:
        """Everything that the network computes for a batch; the texts are encoded once, whatever the inferences.

        Args:
            batch: The batch.
            inference: Where the neighbors of ``logits`` come from: ``batch``, ``memory`` or ``none``.
            others: The same for each entry of ``other_logits``.

        Raises:
            ValueError: Neighbors are to come from the memory, and there is none.
        """
        states = self.encode(batch)
        embeddings, attention = self.pooling(states, batch["attention_mask"])
        graph, logits = self._classify(embeddings, batch, inference)
        other_logits = {name: self._classify(embeddings, batch, name)[1] for name in others}
        label_weights = affinity = None
        if self.label_transformer is not None:
            labels = self.label_transformer()
            affinity = self.label_transformer.affinity(labels)
            if self.label_attention:
                scores, label_weights = label_attention(labels, states, batch["attention_mask"])
                logits = logits + scores
                other_logits = {name: other + scores for name, other in other_logits.items()}
        return GTHLEmoOutput(logits, embeddings, attention, graph, label_weights, affinity, other_logits)

    def _classify(self, embeddings: Tensor, batch: Batch, inference: str) -> tuple[Graph | None, Tensor]:
        graph, states = self._pass_messages(embeddings, batch, inference)
        return graph, self.head(self.fusion(embeddings if states is None else torch.cat([embeddings, states], 1)))

    def _pass_messages(self, embeddings: Tensor, batch: Batch, inference: str) -> tuple[Graph | None, Tensor | None]:
        """The graph of the batch, if it has one, and the state of each text after the graph network."""
        if self.graph_network is None:
            return None, None
        if inference == "batch" and self.linker is not None:
            known = (batch["labels"], batch.get("label_mask")) if self.training else (None, None)
            graph = self.linker(embeddings, *known)
            return graph, self.graph_network(embeddings, graph.edges, graph.weights)
        if inference == "memory" and (memory := self._known_memory()) is not None:
            memory.to(embeddings.device)
            return None, pass_from_memory(
                self.graph_network, embeddings, memory, neighbors=self.neighbors, threshold=self.threshold,
                exclude=memory.places(batch["index"]) if self.training else None, label_embedding=self.label_embedding,
            )  # fmt: skip
        no_edges = torch.empty(2, 0, dtype=torch.long, device=embeddings.device)
        return None, self.graph_network(embeddings, no_edges, embeddings.new_empty(0))

    def _known_memory(self) -> Memory | None:
        if self.memory is None and not (self._trainer is not None and self.trainer.sanity_checking):
            raise ValueError(
                "this GTHLEmo has no memory of training texts, in which texts that are predicted find their neighbors; "
                "the memory is made in training, by each validation, and is part of the checkpoint. Train with "
                f"model.memory_rows above 0 (it is {self.memory_rows}) and with validation, or predict without "
                "neighbors: mlemo predict --model.graph_inference none"
            )
        return self.memory

    def _diagnostics(self, output: GTHLEmoOutput) -> dict[str, Tensor]:
        if not self.training or output.graph is None or self.graph_network is None:
            return {}
        values = output.graph.statistics(len(output.logits))
        for layer, mixture in enumerate(self.graph_network.mixtures()):
            values |= {f"aggregation_{layer}_{name}": weight for name, weight in mixture.items()}
        return values

    # memory -----------------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Renew the memory at the start of each training epoch with the trained weights, where training needs one.

        Not by the validation before it: a run that is resumed at the end of an epoch skips that.
        """
        if self.graph == "memory" and batch_idx == 0:
            training = [module for module in self.modules() if module.training]
            self.eval()
            self.remember()
            for module in training:
                module.training = True
        super().on_train_batch_start(batch, batch_idx)

    def on_validation_epoch_start(self) -> None:
        """Renew the memory in training, before validation and with its weights (the averaged ones, where these are)."""
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.remember()

    def remember(self) -> None:
        """Fill the memory with training texts as the present weights encode them, without gradient.

        Several processes share the texts, and each must call this.
        """
        if self.graph_network is None or not self.memory_rows:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
        dataset = data.dataset("train", self.data_input)
        rows = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(data.seed))[: self.memory_rows]
        # texts of like length together: little padding
        rows = rows[dataset.lengths[rows].argsort(descending=True, stable=True)]
        corpus = dataset.corpus
        labels = corpus.labels[rows].bool() & corpus.mask[rows] if self.neighbor_labels else None
        with torch.no_grad(), self.trainer.precision_plugin.forward_context():
            embeddings = in_shares(rows.split(PART), lambda part: self._embed(dataset.__getitems__(part)))
            states = memory_states(self.graph_network, embeddings, self.neighbors, self.threshold)
        self.memory = Memory(states, rows, labels)

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
