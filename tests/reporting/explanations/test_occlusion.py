"""What each word changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from mlemo.inference import Classified, Classifier
from mlemo.models import FrozenHead
from mlemo.nn.tfidf import Tfidf
from mlemo.reporting.explanations.occlusion import decided_columns, occlusion
from mlemo.reporting.explanations.words import word_spans
from mlemo.text import Tweets
from mlemo.thresholds import FixedThreshold

Maker = Callable[..., Any]
TEXTS = ["we had such a  good day", "anger", "", " كان يوم سعيد جدا ", "我很高兴 today"]


def sharpened(model: Any) -> Any:
    """Random networks give nearly the same probability to every text; larger weights make words count."""
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.Linear):
                part.weight.mul_(8)
    return model


def by_hand(classifier: Classifier, text: str) -> torch.Tensor:
    """One word after the other is left out, each text by itself."""
    rows = []
    for start, end in word_spans(text):
        less = text[:start] + text[end:]
        rows.append(classifier.probabilities([text])[0] - classifier.probabilities([" ".join(less.split())])[0])
    return torch.stack(rows) if rows else torch.zeros(0, len(classifier.labels))


@pytest.mark.parametrize("kind", ["classifier", "bert_wdl", "tfidf"])
def test_it_equals_a_loop_over_the_words(kind: str, request: pytest.FixtureRequest, data: Maker) -> None:
    if kind == "tfidf":
        features = Tfidf(width=30)
        features.fit(data().corpus("train").texts)
        torch.manual_seed(0)
        model: Any = FrozenHead(data().label_space, features)
        model.build(features(["a"]).shape[1])
    else:
        model = request.getfixturevalue(kind)(**({"prompt": "words"} if kind == "bert_wdl" else {}))
    classifier = Classifier(sharpened(model), FixedThreshold(0.5), batch_size=3)
    tables = occlusion(classifier, classifier(TEXTS))
    assert [[word.text for word in table.words] for table in tables][-2:] == [
        ["كان", "يوم", "سعيد", "جدا"],
        ["我", "很", "高", "兴", "today"],
    ]
    assert [table.direction for table in tables] == ["ltr", "ltr", "ltr", "rtl", "ltr"]
    for text, table in zip(TEXTS, tables, strict=True):
        assert table.names == list(classifier.labels)
        torch.testing.assert_close(table.weights, by_hand(classifier, text), atol=1e-5, rtol=0)
    assert max(float(table.weights.abs().max()) for table in tables if table.words) > 0.01


def test_a_word_that_the_cleaning_takes_away_has_no_weight(classifier: Maker) -> None:
    model = sharpened(classifier(cleaning=Tweets(urls="")))
    explained = Classifier(model, FixedThreshold(0.5))
    (table,) = occlusion(explained, explained(["happy https://example.org day"]))
    assert [word.text for word in table.words] == ["happy", "https://example.org", "day"]
    assert table.weights[1].abs().max() < 1e-5 < 1e-3 < table.weights[0].abs().max()


def test_heat_maps_are_drawn_of_what_was_decided() -> None:
    probabilities = {"joy": 0.2, "anger": 0.7, "fear": 0.9}
    assert decided_columns(Classified("a", ["joy", "fear"], probabilities)) == [0, 2]
    assert decided_columns(Classified("a", [], probabilities)) == [2]


def test_of_many_decided_labels_the_most_probable_are_shown_in_their_order() -> None:
    draw = torch.Generator().manual_seed(0)
    probabilities = {f"label {number}": value for number, value in enumerate(torch.rand(3000, generator=draw).tolist())}
    decided = [name for name, value in probabilities.items() if value > 0.5]
    found = decided_columns(Classified("a text", decided, probabilities))
    values = list(probabilities.values())
    assert found == sorted(sorted(range(3000), key=lambda place: -values[place])[:40])
