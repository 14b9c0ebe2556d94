"""The batch: every key that travels from the data to a model, with its shape and dtype; and what a model asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor

__all__ = [
    "Batch",
    "DataInput",
    "FeatureInput",
    "ModelOutput",
    "PromptLayout",
    "PromptOrder",
    "StepOutput",
    "TextInput",
]

PromptLayout = Literal["words_masks", "words", "masks"]
PromptOrder = Literal["sequential", "free"]


class Batch(TypedDict, total=False):
    """A mini-batch of ``B`` samples over ``C`` labels; text batches are padded to their longest sample, ``L`` tokens.

    ``labels`` and ``label_mask`` stay in canonical label order, whatever order a prompt has.
    """

    input_ids: Tensor  #: (B, L) long
    attention_mask: Tensor  #: (B, L) long, 1 = token, 0 = padding
    token_type_ids: Tensor  #: (B, L) long, 0 = prompt, 1 = text; only for encoders with two segment types
    features: Tensor  #: (B, F) float32, for tabular corpora and cached encoders
    labels: Tensor  #: (B, C) float32 in {0, 1}
    label_mask: Tensor  #: (B, C) bool, False = not annotated
    index: Tensor  #: (B,) long, row in the corpus
    label_positions: Tensor  #: (B, C) long: token that is the read-out of label c; prompted batches only
    label_order: Tensor  #: (B, C) long: label at place m of the prompt; prompted batches only
    prompt_segments: (
        Tensor  #: (B, L) long: label of a token, -1 before the first label, C after the last; prompted only
    )
    position_ids: Tensor  #: (B, L) long, counted from 0, equal for all segments; batches with an order-free prompt only


class StepOutput(TypedDict, total=False):
    """What every training, validation and test step returns, so that callbacks need not reach into a model."""

    loss: Tensor  #: scalar
    logits: Tensor  #: (B, C), detached, canonical label order
    other_logits: dict[str, Tensor]  #: (B, C), detached: by inference, where evaluation has several (`inferences`)
    index: Tensor  #: (B,) long
    labels: Tensor  #: (B, C)
    label_mask: Tensor  #: (B, C) bool
    sample_losses: Tensor  #: (B,), detached: the part of each sample in the loss, where asked for and it can be said
    components: dict[str, Tensor]  #: scalars, detached: the terms of a composite loss, and those of the model
    diagnostics: dict[str, Tensor]  #: scalars, detached: what a network wants to be watched


@dataclass(frozen=True)
class ModelOutput:
    """What a model computes of a batch beyond its prediction.

    Args:
        logits: ``(B, C)``, the prediction.
        terms: What is added to the loss, weighted already, by name: a scalar, or ``(B,)`` values of the samples, whose
            mean is added.
        context: What the loss may know beside logits and labels, passed on to it by name.
        loss_logits: ``(B, C)`` that the loss sees in place of ``logits``, where a network trains its decoder on another
            path than it predicts with.
        diagnostics: Scalars to be watched in training, by name.
        other_logits: ``(B, C)`` in evaluation, by the name of each further inference (``MultiLabelModel.inferences``).
    """

    logits: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    loss_logits: Tensor | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    other_logits: dict[str, Tensor] = field(default_factory=dict)

    def of_samples(self) -> Tensor:
        """Sum of the terms that are values of the samples, ``(B,)``; 0 where there are none."""
        none = self.logits.new_zeros(len(self.logits), dtype=torch.float32)
        return sum((term for term in self.terms.values() if term.ndim), none)


@dataclass(frozen=True)
class TextInput:
    """What a text model needs of the data: which tokenizer, how long, and with which prompt.

    Args:
        tokenizer: A transformers tokenizer.
        max_length: Longest input in tokens, prompt and special tokens included; the text is cut, never the prompt.
        prompt: Layout of the label prompt, or ``None`` for the text alone.
        token_types: Whether the encoder tells two segments apart.
        label_words: Phrases that stand for the labels in the prompt, in label order; ``None`` for the label names.
        prompt_order: ``free`` gives all segments of the prompt the same position ids.
        cleaning: What is done to each text before it is tokenised; ``None`` for nothing.
        prompt_last: Put the prompt behind the text, on which the states of a causal model then depend, and read a label
            out at the last piece of its words.
        fixed_length: Pad every text to ``max_length``, at its start, instead of each batch to its longest text.
    """

    tokenizer: Any
    max_length: int
    prompt: PromptLayout | None = None
    token_types: bool = False
    label_words: tuple[str, ...] | None = None
    prompt_order: PromptOrder = "sequential"
    cleaning: Callable[[str], str] | None = None
    fixed_length: bool = False
    prompt_last: bool = False


@dataclass(frozen=True)
class FeatureInput:
    """What a model over feature vectors needs of the data.

    Args:
        from_texts: How texts become vectors, ``N`` texts to ``(N, F)``; ``None`` takes tabular corpora only.
    """

    from_texts: Callable[[Sequence[str]], Tensor] | None = None


DataInput = TextInput | FeatureInput
