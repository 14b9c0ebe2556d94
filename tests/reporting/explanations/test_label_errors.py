"""Suspected label errors, compared with plain loops, cleanlab and cross-fitting by scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from torch import Tensor

from mlemo.data import Corpus, SyntheticEmotions
from mlemo.data.splits import stratified_split
from mlemo.labels import LabelSpace
from mlemo.reporting.explanations.label_errors import cross_fitted_probabilities, label_errors, suspected
from mlemo.runs.predictions import Predictions


def invented(rows: int = 300, labels: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Gold labels of which a tenth is flipped, probabilities, and a mask."""
    draw = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(rows, labels, generator=draw) ** torch.linspace(0.5, 3, labels)
    gold = torch.rand(rows, labels, generator=draw) < probabilities
    flipped = torch.rand(rows, labels, generator=draw) < 0.1
    return gold ^ flipped, probabilities, torch.rand(rows, labels, generator=draw) < 0.8


def by_loops(gold: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
    result = torch.zeros_like(gold)
    for column in range(gold.shape[1]):
        rows = [row for row in range(len(gold)) if mask[row, column]]
        p = {row: float(probabilities[row, column]) for row in rows}
        ones = [p[row] for row in rows if gold[row, column]]
        zeros = [1 - p[row] for row in rows if not gold[row, column]]
        for row in rows:
            if gold[row, column] and zeros:
                result[row, column] = 1 - p[row] > 0.5 and 1 - p[row] >= sum(zeros) / len(zeros) - 1e-6
            elif not gold[row, column] and ones:
                result[row, column] = p[row] > 0.5 and p[row] >= sum(ones) / len(ones) - 1e-6
    return result


def test_suspected_entries_are_those_of_the_definition() -> None:
    gold, probabilities, mask = invented()
    found = suspected(gold, probabilities, mask)
    assert torch.equal(found, by_loops(gold, probabilities, mask))
    assert found.any(0).all()
    assert not (found & ~mask).any()
    assert not found.all(0).any()


@pytest.mark.parametrize("seed", range(5))
def test_suspected_entries_are_those_of_cleanlab(seed: int) -> None:
    filters = pytest.importorskip("cleanlab.multilabel_classification.filter", reason="cleanlab is not installed")
    gold, probabilities, _ = invented(seed=seed)
    p = probabilities.double()
    lists = [row.nonzero().flatten().tolist() for row in gold]
    expected = filters.find_multilabel_issues_per_class(lists, p.numpy(), filter_by="confident_learning", n_jobs=1)
    assert np.array_equal(expected, suspected(gold, p, torch.ones_like(gold)).numpy())


def test_nothing_is_suspected_of_a_label_with_one_value() -> None:
    probabilities = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    gold = torch.tensor([True, False]).expand(20, 2)
    assert not suspected(gold, probabilities, torch.ones_like(gold)).any()


def test_flipped_labels_are_found_and_ranked_first() -> None:
    gold = torch.arange(100)[:, None] % 2 == 0
    probabilities = torch.where(gold, 0.9, 0.1)
    probabilities += torch.rand(100, 1, generator=torch.Generator().manual_seed(0)) * 0.05
    wrong = gold.clone()
    wrong[[4, 7]] = ~wrong[[4, 7]]
    probabilities[7] = 0.001  # now annotated as present, and contradicted most
    found = label_errors("test", predictions(wrong, probabilities), [f"text {row}" for row in range(100)])
    assert found["id"].tolist() == ["id-7", "id-4"]
    assert found["annotated"].tolist() == ["present", "absent"]
    assert found["agreement"].tolist() == pytest.approx([0.001, 1 - float(probabilities[4])])
    assert found["text"].tolist() == ["text 7", "text 4"]
    assert found["gold"].tolist() == ["a", ""]
    assert list(label_errors("val", predictions(wrong, probabilities), None).columns) == [
        "split", "label", "annotated", "agreement", "id", "gold"
    ]  # fmt: skip


def predictions(gold: Tensor, probabilities: Tensor) -> Predictions:
    space = LabelSpace(tuple("abcdefgh"[: gold.shape[1]]))
    ids = [f"id-{row}" for row in range(len(gold))]
    return Predictions(Path("p.csv"), space, ids, gold, torch.ones_like(gold), gold, probabilities)


def test_cross_fitted_probabilities_are_those_of_scikit_learn() -> None:
    corpus = SyntheticEmotions(size=90).corpus("train")
    texts = list(corpus.texts or [])
    texts[60:] = texts[:30]  # equal texts must be in one fold
    corpus = Corpus(corpus.label_space, corpus.labels, corpus.ids, texts)
    found = cross_fitted_probabilities(corpus, folds=3, seed=1)
    parts = stratified_split(corpus.labels, [1 / 3] * 3, 1, groups=texts)
    fold_of = {row: fold for fold, rows in enumerate(parts) for row in rows}
    assert all(fold_of[row] == fold_of[row + 60] for row in range(30))
    common = {"sublinear_tf": True, "strip_accents": "unicode", "min_df": 2, "max_features": 10_000}
    for fold, rows in enumerate(parts):
        others = [row for row in range(90) if fold_of[row] != fold]
        features = FeatureUnion(
            [
                ("words", TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", **common)),
                ("parts", TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), **common)),
            ]
        )
        train = features.fit_transform([texts[row] for row in others])
        rest = features.transform([texts[row] for row in rows])
        for label in range(len(corpus.label_space)):
            model = LogisticRegression(tol=1e-8, max_iter=2000).fit(train, corpus.labels[others, label].numpy())
            expected = model.predict_proba(rest)[:, 1]
            np.testing.assert_allclose(found[rows, label].numpy(), expected, atol=1e-4)


def test_entries_that_are_not_annotated_are_not_fitted_to() -> None:
    corpus = SyntheticEmotions(size=60).corpus("train")
    mask = torch.ones_like(corpus.labels, dtype=torch.bool)
    mask[:, 0] = corpus.labels[:, 0] == 0  # no positive is annotated: the label is absent for certain
    corpus = Corpus(corpus.label_space, corpus.labels * mask, corpus.ids, corpus.texts, mask=mask)
    assert float(cross_fitted_probabilities(corpus, folds=2)[:, 0].max()) < 1e-6


def test_tables_of_numbers_have_no_cross_fitted_probabilities() -> None:
    corpus = Corpus(LabelSpace(("a",)), torch.zeros(2, 1), ["1", "2"], features=torch.zeros(2, 3))
    with pytest.raises(ValueError, match="are of texts, and this corpus has none"):
        cross_fitted_probabilities(corpus)
