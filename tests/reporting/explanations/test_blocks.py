"""Explanations as parts of a document."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mlemo.inference import Classified
from mlemo.labels import LabelSpace
from mlemo.reporting.document import Paragraph, Picture, Table
from mlemo.reporting.explanations.attention import POOLING
from mlemo.reporting.explanations.blocks import correlation_block, neighbor_blocks, word_blocks
from mlemo.reporting.explanations.correlation import correlation_agreement
from mlemo.reporting.explanations.neighbors import Neighbor
from mlemo.reporting.explanations.report import Report
from mlemo.reporting.explanations.words import Word, WordWeights
from mlemo.runs.predictions import Predictions

RESULT = Classified("so glad", ["joy"], {"joy": 0.9, "anger": 0.2})
WORDS = [Word("so", ""), Word("glad")]
ADDED = WordWeights("Added", WORDS, ["joy", "anger"], torch.tensor([[0.1, -0.2], [0.5, torch.nan]]), [0], "ltr")
LOOKED = WordWeights("Looked", WORDS, [POOLING, "joy", "anger"], torch.tensor([[0.3, 0.4, 0.5]] * 2), [0, 1], "ltr")


def test_words_are_drawn_and_said() -> None:
    (picture,) = word_blocks([RESULT], [[ADDED, LOOKED]])
    assert isinstance(picture, Picture)
    assert picture.files["png"].startswith(b"\x89PNG")
    assert picture.caption == "so glad (decided: joy)"
    assert picture.alternative == (
        "Added, joy: so +0.10; glad +0.50. Looked, whole text: so +0.30; glad +0.30. Looked, joy: so +0.40; glad +0.40."
    )


def test_other_labels_than_the_decided_ones_are_shown() -> None:
    (picture,) = word_blocks([RESULT], [[ADDED, LOOKED]], [["anger"]])
    assert isinstance(picture, Picture)
    assert picture.alternative == (
        "Added, anger: so −0.20; glad not read. Looked, whole text: so +0.30; glad +0.30. "
        "Looked, anger: so +0.50; glad +0.50."
    )
    assert ADDED.shown == [0]  # the table itself stays as it is


def test_neighbours_are_a_table_for_each_text() -> None:
    found = [Neighbor(0.98765, "7", "so happy", ["joy", "love"]), Neighbor(-0.5, "8", "rain", [])]
    (table,) = neighbor_blocks([RESULT], [found])
    assert isinstance(table, Table)
    assert table.caption == "Nearest to: so glad (decided: joy)"
    assert table.rows == (("so happy", "joy, love", "0.988"), ("rain", "", "−0.500"))


def test_correlations_are_drawn_and_said() -> None:
    draw = torch.Generator().manual_seed(0)
    gold, decided = (torch.rand(50, 3, generator=draw) < 0.5 for _ in range(2))
    space, mask = LabelSpace(("joy", "fear", "trust")), torch.ones(50, 3, dtype=torch.bool)
    own = Predictions(Path("p.csv"), space, [str(row) for row in range(50)], gold, mask, decided, decided.float(), "")
    picture, words = correlation_block(own)
    assert isinstance(picture, Picture)
    assert isinstance(words, Paragraph)
    agreement = correlation_agreement(own)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        numbers = (
            f"{matrix[first, second]:+.2f}".replace("-", "−") for matrix in (agreement.gold, agreement.predicted)
        )
        assert f"{space.names[first]} and {space.names[second]} {', '.join(numbers)}" in picture.alternative
    assert agreement.describe() in words.text
    assert picture.files["png"].startswith(b"\x89PNG")


def test_correlations_of_many_labels_are_those_with_the_most_positives() -> None:
    draw, labels = torch.Generator().manual_seed(0), 450
    gold = torch.rand(40, labels, generator=draw) < torch.linspace(0.6, 0.05, labels)
    decided, mask = torch.rand(40, labels, generator=draw) < 0.5, torch.ones(40, labels, dtype=torch.bool)
    space = LabelSpace(tuple(f"label {number}" for number in range(labels)))
    own = Predictions(Path("p.csv"), space, [str(row) for row in range(40)], gold, mask, decided, decided.float(), "")
    picture, words = correlation_block(own)
    assert isinstance(picture, Picture)
    assert isinstance(words, Paragraph)
    assert picture.caption.endswith(": 40 of 450 labels, those with the most gold positives")
    assert picture.alternative.count(";") == 40 * 39 // 2 - 1
    assert "pairs of 400 of 450 labels, those with the most gold positives" in words.text
    report = Report({})
    found = correlation_agreement(own)
    report.add_correlation(found)
    table = pd.read_csv(StringIO(str(report.files["label_correlation.csv"])))
    assert len(table) == 400 * 399 // 2
    kept = set(gold.sum(0).argsort(descending=True, stable=True)[:400].tolist())
    assert set(table["first"]) | set(table["second"]) == {f"label {number}" for number in kept}
    row = table.iloc[12_345]
    first, second = (int(row[side].removeprefix("label ")) for side in ("first", "second"))
    assert row["gold"] == pytest.approx(np.corrcoef(gold[:, first], gold[:, second])[0, 1])
    assert row["predicted"] == pytest.approx(np.corrcoef(decided[:, first], decided[:, second])[0, 1])
