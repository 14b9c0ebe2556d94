"""Bert-WDL: a prompt with a read-out for each label, a self-attention refiner, one head for all labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mlemo.batch import Batch, PromptLayout, PromptOrder
from mlemo.labels import LabelSpace
from mlemo.losses import Loss, WeightedDifferenceLoss
from mlemo.models.base import Parts
from mlemo.models.label_words import LabelWords
from mlemo.models.text_model import TextModel
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.prompt_order import check_order_free, prompt_orders, reorder_prompt
from mlemo.nn.san import Scope, SelfAttentionRefiner

__all__ = ["BertWDL"]


class BertWDL(TextModel):
    """Bert-WDL (Hu et al., Scientific Reports 2025): prompted encoder → SAN → shared linear head → logits.

    The input is ``[CLS] e1 [MASK] e2 [MASK] … eM [MASK] [SEP] text [SEP]``; the state of label m's ``[MASK]`` is
    refined by one self-attention block and mapped to the label's logit by the same d → 1 map for all labels. Logits
    are in canonical label order, whatever order the prompt has. The paper's loss is ``WeightedDifferenceLoss``
    (the default); its label shuffling is the callback ``LabelShuffle``.

    The logits of a ``sequential`` prompt depend on the order of its labels, through the encoder's positions. Two
    settings of our own remove that: ``evaluation_orders`` averages it out in evaluation, and the ``free`` prompt has
    no order. There all segments ``e_m [MASK]`` have the same position ids, each attends to itself, the text and the
    special tokens, and these attend to one another only.

    With a causal encoder (a decoder language model such as Llama, Qwen or Gemma) the prompt ``e1 e2 … eM`` comes after
    the text, on a line of its own. A token there depends on those before it only, so the text does not depend on the
    prompt, each label depends on the text and on the labels before it, and its read-out is the last piece of its words.
    The order of the labels matters more than in BERT, and ``LabelShuffle`` is of use with any loss. ``prompt`` must be
    ``words`` where the tokenizer has no mask token.

    Args:
        label_space: The labels.
        encoder: A name on the hub, a local folder in its layout, or an encoder source such as ``FromScratch``.
        loss: Any loss of mlemo.
        prompt: ``words_masks`` as in the paper; ``words`` reads a label out at its own first word piece, without
            ``[MASK]``; ``masks`` is one ``[MASK]`` a label with a learned embedding and no words (both are shorter).
        label_words: Words for the labels in the prompt: ``names`` (the label names), ``corpus`` (their words in the
            language of the corpus, which Chinese, Arabic and Spanish corpora have), ``auto`` (``corpus`` where there
            are such words and the encoder's tokenizer was made for them, else ``names``), or a list in label order.
        san: Scope of the refiner, or ``none`` to leave it out.
        prompt_order: ``sequential`` as in the paper, or ``free``.
        evaluation_orders: Orders of the prompt over which the logits are averaged outside of training: the canonical
            one, and others that are drawn once and are the same for all texts and runs. Evaluation costs as many
            forward passes.
        heads: Attention heads of the refiner; ``None`` takes the encoder's number (12 for BERT-base, as in the paper).
        dropout: Dropout of the refiner.
        kwargs: Settings of ``TextModel``: ``max_length``, ``optimization``.

    Raises:
        ValueError: ``evaluation_orders`` below one, or above one with an order-free prompt; when the encoder is made:
            it cannot process an order-free prompt.
    """

    default_parts: ClassVar[Parts] = {
        **TextModel.default_parts,
        "loss": partial(WeightedDifferenceLoss),
    }

    orders: Tensor  #: orders of the prompt in evaluation, ``(evaluation_orders, C)``

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str = "bert-base-uncased",
        loss: Loss | None = None,
        *,
        prompt: PromptLayout = "words_masks",
        label_words: LabelWords | None = "auto",
        san: Scope | Literal["none"] = "labels",
        prompt_order: PromptOrder = "sequential",
        evaluation_orders: int = 1,
        heads: int | None = None,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, encoder, loss, **kwargs)
        self.prompt = prompt
        self.label_words = label_words if isinstance(label_words, str | None) else tuple(label_words)
        if evaluation_orders < 1:
            raise ValueError(f"model.evaluation_orders must be at least 1, found {evaluation_orders}")
        if evaluation_orders > 1 and prompt_order == "free":
            raise ValueError(
                f"model.evaluation_orders {evaluation_orders} has no effect on an order-free prompt, whose logits are "
                "the same for every order; leave it at 1, or set model.prompt_order to sequential"
            )
        self.prompt_order, self.evaluation_orders = prompt_order, evaluation_orders
        self.san, self.heads, self.dropout = san, heads, dropout

    def build_head(self, width: int) -> None:
        """Refiner, shared head, and the label embeddings of the ``masks`` prompt."""
        if self.prompt_order == "free":
            if self.causal:
                raise ValueError(
                    f"model.prompt_order is 'free', and in {type(self.encoder).__name__}, a causal model, each label "
                    "depends on those before it: set model.prompt_order to sequential"
                )
            check_order_free(self.encoder)
        heads = self.encoder.config.num_attention_heads if self.heads is None else self.heads
        self.refiner = None if self.san == "none" else SelfAttentionRefiner(width, heads, self.dropout, self.san)
        self.head = nn.Linear(width, 1)
        orders = prompt_orders(self.evaluation_orders, len(self.label_space))
        self.register_buffer("orders", orders, persistent=False)
        if self.prompt == "masks":
            self.label_embedding = nn.Embedding(len(self.label_space), width)
            nn.init.normal_(self.label_embedding.weight, std=getattr(self.encoder.config, "initializer_range", 0.02))

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)`` in canonical label order; outside of training their mean over ``evaluation_orders``."""
        if self.training or self.evaluation_orders == 1:
            return self.logits_of_prompt(batch)
        shape = batch["input_ids"].shape[0], -1
        logits = [self.logits_of_prompt(reorder_prompt(batch, order.expand(shape))) for order in self.orders]
        return torch.stack(logits).float().mean(0)

    def logits_of_prompt(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)`` in canonical label order, for the order that the prompts of the batch have."""
        where = batch["label_positions"].unsqueeze(-1)  # (B, C, 1)
        embeddings = self._mask_embeddings(batch, where) if self.prompt == "masks" else None
        states = self.encode(batch, embeddings)  # (B, L, d)
        readouts = states.gather(1, where.expand(-1, -1, states.shape[-1]))  # (B, C, d)
        if self.refiner is not None:
            readouts = self.refiner(readouts, states, batch["attention_mask"])
        return self.head(readouts).squeeze(-1)

    def _mask_embeddings(self, batch: Batch, where: Tensor) -> Tensor:
        words = self.encoder.get_input_embeddings()(batch["input_ids"])
        labels = self.label_embedding.weight.to(words.dtype).expand(words.shape[0], -1, -1)
        return torch.scatter_add(words, 1, where.expand_as(labels), labels)
