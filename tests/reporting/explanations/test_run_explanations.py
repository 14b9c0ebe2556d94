"""What a run got right and wrong: examples, correlation of labels, weights of the loss."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from mlemo.labels import LabelSpace
from mlemo.reporting.explanations.correlation import correlation_agreement
from mlemo.reporting.explanations.errors import error_examples
from mlemo.reporting.explanations.loss_weight_figure import loss_weight_figure, read_loss_weights
from mlemo.runs.predictions import Predictions


def predictions(rows: int = 60, masked: bool = False, labels: int = 5) -> Predictions:
    generator = torch.Generator().manual_seed(rows)
    probabilities = torch.rand(rows, labels, generator=generator)
    gold = torch.rand(rows, labels, generator=generator) < 0.2 + 0.6 * probabilities
    gold[:, 1] = gold[:, 0] ^ (torch.rand(rows, generator=generator) < 0.2)
    mask = torch.rand(rows, labels, generator=generator) < (0.8 if masked else 2.0)
    space = LabelSpace(tuple("abcdefgh"[:labels]))
    ids = [f"id-{row}" for row in range(rows)]
    return Predictions(Path("p.csv"), space, ids, gold & mask, mask, probabilities > 0.5, probabilities, "")


def test_examples_are_of_their_case_and_drawn_with_a_seed() -> None:
    found = predictions(masked=True)
    texts = [f"text {row}" for row in range(60)]
    table = error_examples(found, texts, each=4, seed=1)
    cases = {(True, True): "TP", (False, True): "FP", (True, False): "FN"}
    counts = dict.fromkeys(((label, case) for label in "abcde" for case in cases.values()), 0)
    for row in range(60):
        for column, label in enumerate("abcde"):
            case = cases.get((bool(found.gold[row, column]), bool(found.decided[row, column])))
            if case and found.mask[row, column]:
                counts[label, case] += 1
    assert len(table) == sum(min(4, count) for count in counts.values())
    for line in table.to_dict("records"):
        row, column = int(line["id"].removeprefix("id-")), "abcde".index(line["label"])
        assert found.mask[row, column]
        assert cases[bool(found.gold[row, column]), bool(found.decided[row, column])] == line["case"]
        assert line["of"] == counts[line["label"], line["case"]]
        assert line["probability"] == pytest.approx(float(found.probabilities[row, column]))
        assert line["text"] == texts[row]
        assert line["gold"] == ", ".join(name for name, on in zip("abcde", found.gold[row]) if on)
        assert line["predicted"] == ", ".join(name for name, on in zip("abcde", found.decided[row]) if on)
    assert not table.duplicated(["label", "case", "id"]).any()
    assert table.equals(error_examples(found, texts, each=4, seed=1))
    assert not table.equals(error_examples(found, texts, each=4, seed=2))
    without = error_examples(found, None, each=1)
    assert list(without.columns) == ["label", "case", "of", "probability", "id", "gold", "predicted"]


def test_examples_of_many_labels_are_those_with_the_most_positives() -> None:
    labels, draw = 450, torch.Generator().manual_seed(0)
    gold = torch.rand(30, labels, generator=draw) < torch.linspace(0.05, 0.6, labels)
    decided, mask = torch.rand(30, labels, generator=draw) < 0.5, torch.ones(30, labels, dtype=torch.bool)
    space = LabelSpace(tuple(f"label {number}" for number in range(labels)))
    ids = [str(row) for row in range(30)]
    table = error_examples(Predictions(Path("p.csv"), space, ids, gold, mask, decided, decided.float(), ""), None)
    kept = gold.sum(0).argsort(descending=True, stable=True)[:400].sort().values.tolist()
    assert list(dict.fromkeys(table["label"])) == [f"label {number}" for number in kept]


def test_pearson_r_and_p_are_those_of_numpy_and_scipy_over_pairs_of_labels() -> None:
    found = predictions()
    agreement = correlation_agreement(found)
    gold, predicted = np.corrcoef(found.gold.numpy().T), np.corrcoef(found.decided.numpy().T)
    np.testing.assert_allclose(agreement.gold.numpy(), gold, atol=1e-12)
    np.testing.assert_allclose(agreement.predicted.numpy(), predicted, atol=1e-12)
    pairs = [(i, j) for i in range(5) for j in range(i)]
    first, second = [gold[pair] for pair in pairs], [predicted[pair] for pair in pairs]
    assert agreement.pairs == 10
    assert agreement.r == pytest.approx(np.corrcoef(first, second)[0, 1])
    t = agreement.r * np.sqrt(8 / (1 - agreement.r**2))  # type: ignore[operator]
    assert agreement.p == pytest.approx(2 * scipy.stats.t.sf(abs(t), 8))
    assert agreement.describe() == f"Pearson r = {agreement.r:.3f}, p = {agreement.p:.3f}, over 10 pairs of labels"


def test_labels_that_do_not_vary_are_left_out_and_too_few_pairs_have_no_r() -> None:
    found = predictions()
    found.decided[:, 2] = False
    assert correlation_agreement(found).pairs == 6
    assert correlation_agreement(found).r is not None
    found.decided[:, 3] = False
    left = correlation_agreement(found)
    assert (left.pairs, left.r is None) == (3, False)
    few = correlation_agreement(predictions(labels=2))
    assert (few.pairs, few.r, few.p) == (1, None, None)
    assert "it needs three pairs of labels" in few.describe()


def test_loss_weights_are_read_and_drawn(tmp_path: Path) -> None:
    path = tmp_path / "loss_weights.csv"
    cut = "2,1,2,0.7"  # it was being written when the run was killed
    path.write_text(f"step,loss/bce,loss/d1,weight/bce,weight/d1\n0,1,2,0.5,0.25\n1,1,2,0.75,0.125\n{cut}", "utf-8")
    weights = read_loss_weights(path)
    assert weights.equals(pd.DataFrame({"bce": [0.5, 0.75], "d1": [0.25, 0.125]}, index=pd.Index([0, 1], name="step")))
    panels = loss_weight_figure(weights).axes
    assert [axes.get_title() for axes in panels] == ["bce", "d1"]
    assert panels[1].lines[0].get_xydata().tolist() == [[0, 0.25], [1, 0.125]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("step,loss/a\n0,1\n", r"expected columns step and weight/…, and at least one row, found columns step, loss/a"),
        ("step,weight/a\n", "found columns step, weight/a and 0 rows"),
        ("", "is not a table of loss weights"),
    ],
)
def test_other_files_are_no_loss_weights(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"w\.csv.*{message}"):
        read_loss_weights(tmp_path / "w.csv")
