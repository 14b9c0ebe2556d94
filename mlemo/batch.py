"""The batch: its keys with shapes and dtypes, outputs of steps, and the inputs that models need from the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, cast

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
    "extras_of",
    "repeated",
]

PromptLayout = Literal["words_masks", "words", "masks"]
PromptOrder = Literal["sequential", "free"]


class Batch(TypedDict, total=False):
    """A mini-batch of ``B`` samples over ``C`` labels; text batches are padded to their longest sample, ``L`` tokens.

    ``labels`` and ``label_mask`` are in canonical label order for every order of a prompt. The extras of a corpus
    (`mlemo.data.corpus.Corpus`), such as ``intensities`` ``(B, C)``, are there under their names too (`extras_of`).
    """

    input_ids: Tensor  #: (B, L) long
    attention_mask: Tensor  #: (B, L) long, 1 = token, 0 = padding
    token_type_ids: Tensor  #: (B, L) long, 0 = prompt, 1 = text; only for encoders with two segment types
    features: Tensor  #: (B, F) float32, for tabular corpora and cached encoders
    labels: Tensor  #: (B, C) float32 in {0, 1}
    label_mask: Tensor  #: (B, C) bool, False = not annotated
    index: Tensor  #: (B,) long, row in the corpus
    label_positions: Tensor  #: (B, C) long: read-out token of label c; prompted batches only
    label_order: Tensor  #: (B, C) long: label at position m of the prompt; prompted batches only
    prompt_segments: (
        Tensor  #: (B, L) long: label of a token, -1 before the first label, C after the last; prompted only
    )
    position_ids: Tensor  #: (B, L) long, counted from 0, equal for all segments; batches with an order-free prompt only


def extras_of(batch: Batch) -> dict[str, Tensor]:
    """The values of a batch that only some corpora have, by name.

    Example:
        >>> extras_of({"index": torch.tensor([4, 7]), "intensities": torch.zeros(2, 6)}).keys()
        dict_keys(['intensities'])
    """
    return {name: value for name, value in cast(dict[str, Tensor], batch).items() if name not in Batch.__annotations__}


def repeated(batch: Batch, copies: int) -> Batch:
    """The samples of a batch several times, one copy of the whole batch after the other.

    ``label_order`` may be ``(K, B, C)``, several orders per sample, as from ``LabelShuffle(level="loss")``.

    Example:
        >>> repeated({"index": torch.tensor([4, 7]), "label_order": torch.zeros(3, 2, 5)}, 2)["label_order"].shape
        torch.Size([3, 4, 5])
    """
    tensors = cast(dict[str, Tensor], batch)
    rows = {key: value.ndim - 2 if key == "label_order" else 0 for key, value in tensors.items()}
    result = {
        key: value.repeat(*[1] * rows[key], copies, *[1] * (value.ndim - 1 - rows[key]))
        for key, value in tensors.items()
    }
    return cast(Batch, result)


class StepOutput(TypedDict, total=False):
    """The return value of every training, validation and test step, for callbacks."""

    loss: Tensor  #: scalar
    logits: Tensor  #: (B, C), detached, canonical label order
    other_logits: dict[str, Tensor]  #: (B, C), detached: by inference mode, if several (`inferences`)
    index: Tensor  #: (B,) long
    labels: Tensor  #: (B, C)
    label_mask: Tensor  #: (B, C) bool
    sample_losses: Tensor  #: (B,), detached: contribution of each sample to the loss, if requested and defined
    components: dict[str, Tensor]  #: scalars, detached: the terms of a composite loss, and those of the model
    diagnostics: dict[str, Tensor]  #: scalars, detached: diagnostics of the network for logging


@dataclass(frozen=True)
class ModelOutput:
    """The output of a model for a batch.

    Args:
        logits: ``(B, C)``, the prediction.
        terms: Weighted terms that are added to the loss, by name: a scalar, or ``(B,)`` values per sample, whose mean
            is added.
        context: Further keyword arguments of the loss, by name.
        loss_logits: ``(B, C)`` input of the loss in place of ``logits``, for networks whose decoder has different
            inputs in training and prediction.
        diagnostics: Scalars for logging in training, by name.
        other_logits: ``(B, C)`` in evaluation, by the name of each further inference mode
            (``MultiLabelModel.inferences``).
    """

    logits: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    loss_logits: Tensor | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    other_logits: dict[str, Tensor] = field(default_factory=dict)

    def of_samples(self) -> Tensor:
        """Sum the terms with values per sample, ``(B,)``; 0 without any."""
        none = self.logits.new_zeros(len(self.logits), dtype=torch.float32)
        return sum((term for term in self.terms.values() if term.ndim), none)


@dataclass(frozen=True)
class TextInput:
    """The input that a text model needs from the data: tokenizer, length and prompt.

    Args:
        tokenizer: A transformers tokenizer.
        max_length: Longest input in tokens, including prompt and special tokens; the text is truncated, never the
            prompt.
        prompt: Layout of the label prompt, or ``None`` for the text alone.
        token_types: Whether the encoder has two segment types.
        label_words: Phrases that represent the labels in the prompt, in label order; ``None`` for the label names.
        prompt_order: With ``free`` all segments of the prompt have the same position ids.
        cleaning: Cleaning of each text before tokenization; ``None`` for none.
        prompt_last: Put the prompt after the text, so that states of a causal model depend on the text, with the
            read-out of a label at the last token of its words.
        fixed_length: Pad every text to ``max_length`` at its start, instead of each batch to its longest text.
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
    """The input that a model over feature vectors needs from the data.

    Args:
        from_texts: Conversion of ``N`` texts to vectors ``(N, F)``; ``None`` for tabular corpora only.
    """

    from_texts: Callable[[Sequence[str]], Tensor] | None = None


DataInput = TextInput | FeatureInput
