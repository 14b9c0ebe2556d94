"""Attention weights of GTHL-Emo's pooling and labels, summed over the tokens of each word."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlemo.batch import TextInput
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.data.prompt import special_tokens
from mlemo.inference import Classified
from mlemo.models import GTHLEmo
from mlemo.reporting.explanations.occlusion import decided_columns
from mlemo.reporting.explanations.words import Word, WordWeights, cut, direction, word_spans

__all__ = ["POOLING", "attention"]

POOLING = "whole text"  #: name of the column with the weights of the attention pooling
Span = tuple[int, int]


def attention(model: GTHLEmo, results: Sequence[Classified], batch_size: int = 64) -> list[WordWeights]:
    """Compute the attention of GTHL-Emo (Alrasheedy et al., Electronics 2026, Fig. 8); columns sum to 1 over the words.

    The words are those of the cleaned text that the model reads, including the special tokens around it.

    Args:
        model: A trained model.
        results: Classifications of the texts.
        batch_size: Texts per forward pass.

    Returns:
        Per text, the weights of the attention pooling, and of each label if the model has label attention: ``(words,
        1)`` or ``(words, 1 + C)``.
    """
    space, data_input = model.label_space, model.data_input
    texts = [result.text for result in results]
    dataset = TokenizedCorpus(
        Corpus(space, torch.zeros(len(texts), len(space)), [str(row) for row in range(len(texts))], texts), data_input
    )
    tables = []
    for rows in torch.arange(len(texts)).split(batch_size):
        batch = model.transfer_batch_to_device(dataset.__getitems__(rows), model.device, 0)
        with torch.inference_mode():
            output = model.compute(batch, "none")  # no attention depends on the graph
        weights = output.attention[:, None]
        if output.label_weights is not None:
            weights = torch.cat([weights, output.label_weights], 1)
        names = [POOLING, *space.names][: weights.shape[1]]
        for row, own in zip(rows.tolist(), weights.float().cpu()):
            text = texts[row] if data_input.cleaning is None else data_input.cleaning(texts[row])
            words, of_token, unread = _words(text, int(batch["attention_mask"][row - rows[0]].sum()), data_input)
            summed = torch.zeros(len(words), len(names)).index_add_(0, of_token, own[:, : len(of_token)].T)
            summed[unread] = torch.nan
            shown = [0, *(1 + label for label in decided_columns(results[row]))] if len(names) > 1 else [0]
            tables.append(
                WordWeights("Where the model looks (attention)", words, names, summed, shown, direction(text) or "ltr")
            )
    return tables


def _words(text: str, length: int, data_input: TextInput) -> tuple[list[Word], Tensor, list[int]]:
    """Return words with the special tokens, the word of each of the ``length`` tokens, and the truncated words."""
    tokenizer: Any = data_input.tokenizer
    before, _, after = special_tokens(tokenizer, pair=False)
    kept = length - len(before) - len(after)
    pieces: list[Span] = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    spans = word_spans(text)
    if pieces and not spans:  # some tokenizers make tokens of whitespace
        spans = [(0, len(text))]
    spans = _joined(spans, pieces)
    words = cut(text, spans)
    of_piece = [_word(spans, end - 1) for _, end in pieces]
    unread = sorted(set(of_piece[kept:]) - set(of_piece[:kept]))
    names = [[Word(name) for name in tokenizer.convert_ids_to_tokens(ids)] for ids in (before, after)]
    tokens = [
        *range(len(before)),
        *(len(before) + word for word in of_piece[:kept]),
        *(len(before) + len(words) + place for place in range(len(after))),
    ]
    if before and words:
        words[0] = Word(words[0].text)
    return [*names[0], *words, *names[1]], torch.tensor(tokens), [len(before) + word for word in unread]


def _word(spans: Sequence[Span], character: int) -> int:
    """Return the word of a character; whitespace belongs to the following word, and at the end to the last word."""
    return min(bisect_right(spans, character, key=lambda span: span[1]), len(spans) - 1)


def _joined(spans: Sequence[Span], pieces: Sequence[Span]) -> list[Span]:
    """Join words that share a token (Chinese tokens may be longer than one character)."""
    joined = {
        word + 1 for start, end in pieces if end > start for word in range(_word(spans, start), _word(spans, end - 1))
    }
    result: list[Span] = []
    for place, (start, end) in enumerate(spans):
        if place in joined:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return result
