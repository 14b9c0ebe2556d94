"""Occlusion: the change of a text's probabilities without each word."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

import torch

from mlemo.callbacks.label_figures import MOST_LABELS
from mlemo.inference import Classified, Classifier
from mlemo.reporting.explanations.words import WordWeights, cut, direction, word_spans

__all__ = ["decided_columns", "occlusion"]


def occlusion(classifier: Classifier, results: Sequence[Classified]) -> list[WordWeights]:
    """Compute the contribution of each word to each probability: ``p_c(text) - p_c(text without the word)``.

    It needs only the probabilities of the model (Zeiler and Fergus 2014; Li et al. 2016), so it works for every model.
    A positive weight supports the label. Weights do not add up to the probability: two words with the same meaning may
    each have no effect.

    Args:
        classifier: The model.
        results: Classifications of the texts.

    Returns:
        Weights ``(words, C)`` per text; heat maps show the decided labels, or else the most probable one.
    """
    texts = [cut(result.text, word_spans(result.text)) for result in results]
    without = [
        "".join(word.gap + word.text for place, word in enumerate(words) if place != left_out).strip()
        for words in texts
        for left_out in range(len(words))
    ]
    found = classifier.probabilities(without).split([len(words) for words in texts])
    tables = []
    for result, words, probabilities in zip(results, texts, found):
        whole = torch.tensor(list(result.probabilities.values()))
        tables.append(
            WordWeights(
                title="What each word adds to the probability",
                words=words,
                names=list(classifier.labels),
                weights=whole - probabilities,
                shown=decided_columns(result),
                direction=direction(result.text) or "ltr",
            )
        )
    return tables


def decided_columns(result: Classified) -> list[int]:
    """Return the indices of the labels decided for a text, at most `MOST_LABELS`, or else of the most probable one.

    Of more labels the most probable ones are returned.

    Example:
        >>> decided_columns(Classified("a text", [], {"joy": 0.1, "fear": 0.3}))
        [1]
    """
    places = {name: place for place, name in enumerate(result.probabilities)}
    if not result.labels:
        return [places[max(places, key=result.probabilities.__getitem__)]]
    kept = set(nlargest(MOST_LABELS, result.labels, key=result.probabilities.__getitem__))
    return [places[name] for name in result.labels if name in kept]
