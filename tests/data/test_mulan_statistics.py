"""The datasets as released: what their figures are, and which published ones come out of which fault."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import norm

from mlemo.data import Mulan, statistics
from mlemo.samplers import mean_ir as mean_ir_of

# n, d, q, Card, Dens, MeanIR, rows without a label
MEASURED = {
    "scene": (2407, 294, 6, 1.0740, 0.1790, 1.2538, 0),
    "yeast": (2417, 103, 14, 4.2371, 0.3026, 7.1968, 0),
    "enron": (1702, 1001, 53, 3.3784, 0.0637, 73.9528, 0),
    "bibtex": (7395, 1836, 159, 2.4019, 0.0151, 12.4983, 0),
    "cal500": (502, 68, 174, 26.0438, 0.1497, 20.5778, 0),
    "tmc2007": (28596, 500, 22, 2.1579, 0.0981, 15.1567, 0),
    "llog": (1460, 1004, 75, 1.1801, 0.0157, 39.2669, 207),
    "yahoo-Arts": (7484, 23146, 26, 1.6539, 0.0636, 94.7379, 0),
    "rcv1subset2": (6000, 47236, 101, 2.6342, 0.0261, 45.5138, 0),
    "rcv1subset3": (6000, 47236, 101, 2.6142, 0.0259, 68.3326, 0),
}


def figures(data: Mulan) -> tuple[float, ...]:
    corpus = data.corpus("all")
    found = statistics(corpus)
    empty = int((corpus.labels.sum(1) == 0).sum())
    return (found.n, found.d, found.q, round(found.card, 4), round(found.dens, 4), round(found.mean_ir, 4), empty)


@pytest.mark.parametrize("name", MEASURED)
def test_figures_of_every_dataset(official, name):
    n, d, *rest = MEASURED[name]
    if d < 5000:
        assert figures(Mulan(name, official("mulan"))) == MEASURED[name]
    else:  # as a dense tensor this would be a gigabyte
        data = Mulan(name, official("mulan"), feature_fraction=0.02)
        assert figures(data) == (n, int(0.02 * d), *rest)
        assert data._table.notes == (f"inputs with the largest sum kept: {int(0.02 * d):,} of {d:,}",)


# the table of Zhou et al. 2024: n, d, q, Card, Dens, MeanIR to two decimals; llog is called LLOG-F there
PUBLISHED = {
    "scene": (2407, 294, 6, 1.07, 0.18, 1.25),
    "yeast": (2417, 103, 14, 4.24, 0.30, 7.20),
    "bibtex": (7395, 1836, 159, 2.40, 0.02, 12.50),
    "cal500": (502, 68, 174, 26.04, 0.15, 20.58),
    "llog": (1460, 1004, 75, 15.94, 0.21, 5.39),  # they print Card 15.93, cut off and not rounded
    "rcv1subset2": (6000, 944, 101, 2.63, 0.03, 45.51),
    "rcv1subset3": (6000, 944, 101, 2.61, 0.03, 68.33),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_table_comes_out_as_published(official, name):
    fraction = 0.02 if name.startswith("rcv1") else 1.0
    n, d, q, card, dens, mean_ir, _ = figures(
        Mulan(name, official("mulan"), as_published=True, feature_fraction=fraction)
    )
    assert (n, d, q, round(card, 2), round(dens, 2), round(mean_ir, 2)) == PUBLISHED[name]


def test_llog_as_published_has_words_for_labels(official):
    right, published = (Mulan("llog", official("mulan"), as_published=fault) for fault in (False, True))
    assert figures(published) == (1460, 1004, 75, 15.9356, 0.2125, 5.3933, 31)
    assert not set(right.label_space.names) & set(published.label_space.names)
    assert "0 of them are labels; 75 of the 75 labels are inputs" in published.report()


def test_yahoo_arts_as_published(official):
    corpus = Mulan("yahoo-Arts", official("mulan"), as_published=True, feature_fraction=0.1).corpus("all")
    found = statistics(corpus)
    assert (found.n, found.d, found.q) == (7484, 2314, 25)  # as in the table
    assert (corpus.labels.sum(1) == 0).float().mean() == pytest.approx(0.137, abs=5e-4)
    counts = corpus.labels.sum(0)
    assert (counts == 1).sum() == 1
    assert round(mean_ir_of(corpus.labels[:, counts > 1]), 2) == 26.00  # as in the table
    right = statistics(Mulan("yahoo-Arts", official("mulan"), min_positives=2, feature_fraction=0.1).corpus("all"))
    assert (right.q, round(right.card, 4), round(right.mean_ir, 2)) == (25, 1.6538, 25.01)


@pytest.mark.parametrize(
    ("name", "min_positives", "q", "mean_ir"),
    [("enron", 31, 25, 9.93), ("enron", 21, 33, 16.69), ("cal500", 21, 119, None), ("llog", 21, 22, None)],
)
def test_label_filters(official, name, min_positives, q, mean_ir):
    found = statistics(Mulan(name, official("mulan"), min_positives=min_positives).corpus("all"))
    assert found.q == q
    assert mean_ir is None or round(found.mean_ir, 2) == mean_ir


@pytest.mark.parametrize(
    ("name", "card", "dens", "mean_ir"),
    [("rcv1subset2", 2.8905, 0.0286, 255.47), ("rcv1subset3", 2.9047, 0.0288, 247.90)],
)
def test_repair_of_rcv1(official, name, card, dens, mean_ir):
    data = Mulan(name, official("mulan"), repair=True)
    inputs, labels = data._table.features, torch.from_numpy(data._table.labels)
    assert inputs.shape == (6000, 47236)
    assert labels.shape == (6000, 101)
    assert round(labels.sum(1).mean().item(), 4) == card
    assert round(labels.mean().item(), 4) == dens
    assert round(mean_ir_of(labels), 2) == mean_ir
    assert labels.sum(0).min() == 1
    assert np.abs(norm(inputs.astype(np.float64), axis=1) - 1).max() < 1e-5
    assert "row norms up to 2.4495 before, 0.999999 to 1.000002 after" in data._table.notes[0]


@pytest.mark.parametrize("name", ["rcv1subset2", "rcv1subset3"])
def test_matlab_files_have_the_same_labels_and_almost_the_same_columns(official, name):
    arff = Mulan(name, official("mulan"), feature_fraction=0.02).corpus("all")
    matlab = Mulan(name, official("mulan"), file=f"{name}_top944.mat").corpus("all")
    assert matlab.labels.equal(arff.labels)
    assert int((matlab.features != 0).sum()) == pytest.approx(int((arff.features != 0).sum()), abs=2)


@pytest.mark.parametrize("name", ["enron", "yeast"])
def test_folds_hold_out_every_row_once_and_are_stratified(official, name):
    held_out = []
    for fold in range(5):
        data = Mulan(name, official("mulan"), fold=fold)
        rows, labels = data._rows, torch.from_numpy(data._table.labels)
        assert len(rows["train"]) / len(labels) == pytest.approx(0.8, abs=0.01)
        frequent = labels.sum(0) >= 50
        rate = labels[rows["train"]].mean(0) / labels.mean(0)
        assert rate[frequent].sub(1).abs().max() < 0.05  # of shuffled rows it is about 0.2
        held_out += [*rows["val"], *rows["test"]]
    assert sorted(held_out) == list(range(len(labels)))
