"""Weights of GTHL-Emo's attention, token by token, added up over words."""

from typing import Any

import pytest
import torch

from mlemo.data import Corpus, TokenizedCorpus
from mlemo.inference import Classifier
from mlemo.labels import LabelSpace
from mlemo.models import GTHLEmo
from mlemo.nn.encoder import FromScratch
from mlemo.reporting.explanations.attention import POOLING, attention
from mlemo.text import ArabicTweets
from mlemo.thresholds import FixedThreshold

TRAIN = [
    "كان اليوم جميلا جدا في البيت",
    "انا سعيد جدا",
    "غاضب من الناس في المدرسة",
    "a good day",
    "我们今天很高兴 我们",
]
TEXTS = ["اليوم انا السعيد، غاضبا!", "", "a day we have 我们很高兴", "سعيد"]


def made(texts: list[str] = TRAIN, max_positions: int = 64, **settings: Any) -> GTHLEmo:
    torch.manual_seed(0)
    source = FromScratch(layers=1, width=32, heads=2, vocabulary=300, max_positions=max_positions)
    model = GTHLEmo(
        LabelSpace(("joy", "anger")), source, top_k=settings.pop("top_k", None), graph_inference="none", **settings
    )
    model.build(lambda: texts)
    return model.eval()


def tokens_and_weights(model: GTHLEmo, text: str) -> tuple[list[str], torch.Tensor]:
    """Tokens of a text and their weights, (L, 1 + C), by the model itself."""
    corpus = Corpus(model.label_space, torch.zeros(1, 2), ["0"], [text])
    batch = TokenizedCorpus(corpus, model.data_input)[0]
    with torch.no_grad():
        reading = model.compute(batch, "none")
    parts = [reading.attention[:, None], *([] if reading.label_weights is None else [reading.label_weights])]
    return model.tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist()), torch.cat(parts, 1)[0].T


def test_the_weights_of_a_words_pieces_are_added_up() -> None:
    model = made()
    results = Classifier(model, FixedThreshold(0.0))(TEXTS)
    several_pieces = 0
    for text, table in zip(TEXTS, attention(model, results, batch_size=3), strict=True):
        tokens, weights = tokens_and_weights(model, text)
        several_pieces += sum(token.startswith("##") for token in tokens)
        assert table.names == [POOLING, "joy", "anger"]
        assert [table.words[0].text, table.words[-1].text] == ["[CLS]", "[SEP]"]
        assert "".join(word.gap + word.text for word in table.words[1:-1]).strip() == text
        # pieces of one word do not depend on the words beside it
        counts = [1, *(len(model.tokenizer.tokenize(word.text)) for word in table.words[1:-1]), 1]
        assert sum(counts) == len(tokens)
        expected = torch.stack([part.sum(0) for part in weights.split(counts)])
        torch.testing.assert_close(table.weights, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(table.weights.sum(0), torch.ones(3))
    assert several_pieces > 2


def test_columns_shown_are_the_pooling_and_the_labels_decided() -> None:
    model = made()
    classifier = Classifier(model, FixedThreshold(0.0))
    (table,) = attention(model, classifier(TEXTS[:1]))
    assert table.shown == [0, 1, 2]
    assert table.direction == "rtl"
    plain = made(label_attention=False)
    (table,) = attention(plain, Classifier(plain, FixedThreshold(0.0))(TEXTS[:1]))
    assert (table.names, table.shown, tuple(table.weights.shape)) == ([POOLING], [0], (len(table.words), 1))


def test_words_beyond_the_longest_input_have_no_weight() -> None:
    model = made(max_positions=12)
    text = " ".join(["day"] * 30)
    (table,) = attention(model, Classifier(model, FixedThreshold(0.0))([text]))
    assert [word.text for word in table.words] == ["[CLS]", *["day"] * 30, "[SEP]"]
    read = ~table.weights.isnan().any(1)
    assert read.nonzero().flatten().tolist() == [*range(11), 31]
    torch.testing.assert_close(table.weights[read].sum(0), torch.ones(3))


def test_the_words_are_those_of_the_cleaned_text() -> None:
    model = made(cleaning=ArabicTweets())
    (table,) = attention(model, Classifier(model, FixedThreshold(0.0))(["سعــــيد https://example.org جِدًّا"]))
    assert [word.text for word in table.words] == [
        "[CLS]",
        *ArabicTweets()("سعــــيد https://example.org جِدًّا").split(),
        "[SEP]",
    ]
    assert "سعيد" in [word.text for word in table.words]


@pytest.mark.parametrize(
    ("spans", "pieces", "joined"),
    [
        ([(0, 1), (1, 2), (2, 3)], [(0, 2), (2, 3)], [(0, 2), (2, 3)]),  # a piece of two Chinese characters
        ([(0, 1), (1, 2), (2, 3)], [(0, 3)], [(0, 3)]),
        ([(0, 2), (3, 6)], [(0, 2), (2, 6)], [(0, 2), (3, 6)]),  # a piece that takes the blank before it along
        ([(0, 2), (3, 6)], [(0, 1), (1, 2), (3, 4), (4, 6)], [(0, 2), (3, 6)]),
        ([(0, 2)], [(0, 2), (2, 2)], [(0, 2)]),
    ],
)
def test_words_that_share_a_piece_are_joined(spans: Any, pieces: Any, joined: Any) -> None:
    from mlemo.reporting.explanations.attention import _joined

    assert _joined(spans, pieces) == joined
