"""Every metric against scikit-learn on whole matrices, and with masks by loops over rows and labels."""

import copy
import pickle
import re
import time

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

import mlemo.metrics.collection
from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics
from mlemo.metrics.weighted import DECISION_METRICS, PROBABILITY_METRICS

SEEDS = range(12)


def space(labels):
    return LabelSpace(tuple(f"label {label}" for label in range(labels)))


def data(seed, rows=40, labels=6, masked=False):
    """Ties, rows without and with all labels, a label without positives, one with only positives."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < torch.rand(labels, generator=generator) * 0.6
    probabilities = torch.sigmoid(torch.randn(rows, labels, generator=generator) + targets - 0.5)
    probabilities = (probabilities * 15).round() / 15
    if rows > 2 and labels > 2:
        targets[0], targets[1] = False, True
        probabilities[0] = 0.0  # no decision either
        probabilities[2] = 1 / 3  # a row of ties
        targets[:, 0] = False
        targets[:, 1] = True
        probabilities[:, 0] = probabilities[:, 0].clamp(max=0.4)  # no positive, no prediction
    mask = torch.rand(rows, labels, generator=generator) < (0.7 if masked else 2.0)
    if masked and rows > 4:
        mask[3] = False
        mask[:, -1] = False
    return probabilities, targets.float(), mask


def compute(probabilities, targets, mask=None, decisions=None):
    metrics = MultiLabelMetrics(space(probabilities.shape[1]))
    metrics.update(probabilities, targets, decisions, mask)
    return {name: value.item() for name, value in metrics.compute().items()}


def on_whole_matrices(probabilities, targets, decisions):
    """scikit-learn's own averages, for data without a mask."""
    p, y, d = probabilities.numpy().astype(float), targets.numpy().astype(int), decisions.numpy().astype(int)
    values = {"weighted_f1": sk.f1_score(y, d, average="weighted", zero_division=0)}
    for average in ("micro", "macro"):
        values[f"{average}_f1"] = sk.f1_score(y, d, average=average, zero_division=0)
        values[f"{average}_precision"] = sk.precision_score(y, d, average=average, zero_division=0)
        values[f"{average}_recall"] = sk.recall_score(y, d, average=average, zero_division=0)
    values["samples_f1"] = sk.f1_score(y, d, average="samples", zero_division=1)
    values["jaccard"] = sk.jaccard_score(y, d, average="samples", zero_division=1)
    values["subset_accuracy"] = sk.accuracy_score(y, d)
    values["hamming_loss"] = sk.hamming_loss(y, d)
    values["ranking_loss"] = sk.label_ranking_loss(y, p)
    values["coverage_error"] = sk.coverage_error(y, p)
    values["coverage_error_base0"] = sk.coverage_error(y, p) - 1
    values["label_ranking_ap"] = sk.label_ranking_average_precision_score(y, p)
    values["micro_ap"] = sk.average_precision_score(y, p, average="micro")
    values["micro_auroc"] = sk.roc_auc_score(y, p, average="micro")
    kept = [label for label in range(y.shape[1]) if len(set(y[:, label])) == 2]
    values["macro_ap"] = sk.average_precision_score(y[:, kept], p[:, kept], average="macro")
    values["macro_auroc"] = sk.roc_auc_score(y[:, kept], p[:, kept], average="macro")
    values["macro_auroc_zero"] = values["macro_auroc"] * len(kept) / y.shape[1]
    present = y.any(axis=0)
    values["macro_f1_present"] = sk.f1_score(y[:, present], d[:, present], average="macro", zero_division=0)
    values["skipped_classes"] = y.shape[1] - len(kept)
    return values


def by_restriction(probabilities, targets, decisions, mask):
    """Loops over rows and labels; each sees its annotated entries only."""
    p, y, d = probabilities.numpy().astype(float), targets.numpy().astype(int), decisions.numpy().astype(int)
    m = mask.numpy()
    values = {}
    known = [(y[m[:, c], c], d[m[:, c], c], p[m[:, c], c]) for c in range(y.shape[1])]
    support = np.array([truth.sum() for truth, _, _ in known])
    for name, metric in (("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score)):
        label_wise = [metric(t, o, zero_division=0) if len(t) else 0.0 for t, o, _ in known]
        values[f"macro_{name}"] = np.mean(label_wise)
        values[f"micro_{name}"] = metric(y[m], d[m], zero_division=0)
        if name == "f1":
            values["weighted_f1"] = np.average(label_wise, weights=support)
            values["macro_f1_present"] = np.mean([f1 for f1, positives in zip(label_wise, support) if positives])
    scored = [(t, s) for t, _, s in known if len(set(t)) == 2]
    values["macro_ap"] = np.mean([sk.average_precision_score(t, s) for t, s in scored])
    values["macro_auroc"] = np.mean([sk.roc_auc_score(t, s) for t, s in scored])
    values["macro_auroc_zero"] = sum(sk.roc_auc_score(t, s) for t, s in scored) / y.shape[1]
    values["skipped_classes"] = y.shape[1] - len(scored)
    values["micro_ap"] = sk.average_precision_score(y[m], p[m])
    values["micro_auroc"] = sk.roc_auc_score(y[m], p[m])
    values["hamming_loss"] = np.mean(y[m] != d[m])

    rows = [(y[i, m[i]], d[i, m[i]], p[i, m[i]]) for i in range(len(y)) if m[i].any()]
    per_row = [sample_by_loops(*row) for row in rows]
    for name in per_row[0]:
        values[name] = np.mean([row[name] for row in per_row])
    values["coverage_error_base0"] = values["coverage_error"] - 1
    return values


def sample_by_loops(truth, on, scores):
    """The metrics of one sample; lists of its annotated labels."""
    both, relevant, irrelevant = sum(truth & on), scores[truth == 1], scores[truth == 0]
    empty = not truth.any() and not on.any()
    pairs = [r <= i for r in relevant for i in irrelevant]
    depth = [sum(scores >= r) for r in relevant]
    shares = [sum(relevant >= r) / sum(scores >= r) for r in relevant]
    return {
        "samples_precision": 1.0 if empty else both / sum(on) if on.any() else 0.0,
        "samples_recall": 1.0 if empty else both / sum(truth) if truth.any() else 0.0,
        "samples_f1": 1.0 if empty else 2 * both / (sum(truth) + sum(on)),
        "jaccard": 1.0 if empty else both / sum(truth | on),
        "subset_accuracy": float((truth == on).all()),
        "ranking_loss": np.mean(pairs) if pairs else 0.0,
        "coverage_error": max(depth, default=0),
        "label_ranking_ap": np.mean(shares) if shares else 1.0,
        "one_error": float((truth[scores == scores.max()] == 0).any()),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_mask_scikit_learn_agrees(seed):
    probabilities, targets, _ = data(seed)
    decisions = probabilities > 0.6
    values = compute(probabilities, targets, decisions=decisions)
    for name, expected in on_whole_matrices(probabilities, targets, decisions).items():
        assert values[name] == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_annotated_entries_alone_count(seed, masked):
    probabilities, targets, mask = data(seed, masked=masked)
    decisions = probabilities > 0.4
    values = compute(probabilities, targets, mask, decisions)
    expected = by_restriction(probabilities, targets, decisions, mask)
    assert set(expected) == set(values)
    assert values == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(6, 28), (6, 3), (2, 2)])
def test_a_handful_of_samples(shape):
    generator = torch.Generator().manual_seed(5)
    targets = (torch.rand(shape, generator=generator) < 0.3).float()
    targets[0, 0], targets[1, 0] = 0, 1  # a label with two values
    probabilities = torch.sigmoid(torch.randn(shape, generator=generator) + 2 * targets - 1.5)
    values = compute(probabilities, targets)
    everything = torch.ones(shape, dtype=torch.bool)
    assert values == pytest.approx(by_restriction(probabilities, targets, probabilities >= 0.5, everything), abs=1e-6)


def test_single_precision_suffices_for_large_corpora():
    generator = torch.Generator().manual_seed(5)
    targets = (torch.rand(1000, 28, generator=generator) < 0.1).float()
    probabilities = torch.sigmoid(torch.randn(1000, 28, generator=generator) + 2 * targets - 1.5)
    values = compute(probabilities, targets)
    for name, value in on_whole_matrices(probabilities, targets, probabilities >= 0.5).items():
        assert values[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (1, 1)])
def test_one_sample_or_one_label(shape):
    probabilities = torch.linspace(0.9, 0.3, shape[0] * shape[1]).reshape(shape)
    targets = (torch.arange(shape[0] * shape[1]).reshape(shape) % 2 == 0).float()
    decisions = probabilities >= 0.5
    values = compute(probabilities, targets)
    label_wise = [sk.f1_score(targets[:, c], decisions[:, c], zero_division=0) for c in range(shape[1])]
    assert values["macro_f1"] == pytest.approx(np.mean(label_wise))
    assert values["micro_f1"] == pytest.approx(sk.f1_score(targets.flatten(), decisions.flatten()))
    samples = [
        sample_by_loops(targets[i].int().numpy(), decisions[i].int().numpy(), probabilities[i].numpy())
        for i in range(shape[0])
    ]
    for name in samples[0]:
        assert values[name] == pytest.approx(np.mean([sample[name] for sample in samples])), name


def test_a_decision_is_at_least_one_half():
    values = compute(torch.tensor([[0.5, 0.49]]), torch.tensor([[1, 0]]))
    assert values["subset_accuracy"] == 1


def test_a_perfect_classifier():
    targets = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
    values = compute(targets * 0.8 + 0.1, targets)
    ones = "micro_f1 weighted_f1 samples_f1 samples_precision samples_recall jaccard subset_accuracy label_ranking_ap"
    for name in [*ones.split(), "macro_ap", "micro_ap", "macro_auroc", "micro_auroc"]:
        assert values[name] == 1, name
    for name in ("hamming_loss", "ranking_loss"):
        assert values[name] == 0
    assert values["one_error"] == 0.25  # the row without a label has no right answer
    assert values["coverage_error"] == pytest.approx((1 + 1 + 2 + 0) / 4)
    assert values["macro_f1"] == pytest.approx(2 / 3)  # the label without positives counts as 0
    assert values["macro_auroc_zero"] == pytest.approx(2 / 3)
    assert values["macro_f1_present"] == 1


def test_empty_sets():
    """Where only one set is empty the value is 0; scikit-learn's zero_division treats both cases alike."""
    probabilities = torch.tensor([[0.1, 0.2], [0.1, 0.2], [0.9, 0.8]])
    targets = torch.tensor([[0, 0], [1, 0], [0, 0]])
    values = compute(probabilities, targets)
    for name in ("samples_precision", "samples_recall", "samples_f1", "jaccard"):
        assert values[name] == pytest.approx(1 / 3), name
    y, d = targets.numpy(), (probabilities >= 0.5).int().numpy()
    assert sk.precision_score(y, d, average="samples", zero_division=1) == pytest.approx(2 / 3)
    assert sk.precision_score(y, d, average="samples", zero_division=0) == 0


def test_labels_with_one_value_are_skipped_and_counted():
    probabilities, targets, mask = data(0)
    values = compute(probabilities, targets)
    assert values["skipped_classes"] == 2  # one without positives, one without negatives
    everything = sk.average_precision_score(targets[:, 1:].numpy(), probabilities[:, 1:].numpy(), average="macro")
    assert values["macro_ap"] < everything  # scikit-learn counts the label without negatives as 1
    mask[:, 2] = targets[:, 2] == 1  # only positives are annotated
    assert compute(probabilities, targets, mask)["skipped_classes"] == 3


def test_without_a_scorable_label_areas_are_nan():
    values = compute(torch.tensor([[0.4, 0.6], [0.2, 0.9]]), torch.tensor([[0, 1], [0, 1]]))
    assert np.isnan(values["macro_ap"])
    assert np.isnan(values["macro_auroc"])
    assert values["macro_auroc_zero"] == 0
    assert values["macro_f1_present"] == 1
    assert values["skipped_classes"] == 2
    assert values["micro_ap"] == 1
    assert values["micro_auroc"] == 1
    values = compute(torch.tensor([[0.4, 0.6]]), torch.tensor([[0, 0]]))
    assert np.isnan(values["macro_f1_present"])
    assert np.isnan(values["micro_ap"])
    assert np.isnan(values["micro_auroc"])


def test_a_tie_at_the_top_is_an_error():
    targets = torch.tensor([[1, 0, 0]])
    assert compute(torch.tensor([[0.7, 0.7, 0.1]]), targets)["one_error"] == 1
    assert compute(torch.tensor([[0.7, 0.6, 0.1]]), targets)["one_error"] == 0
    assert compute(torch.tensor([[0.7, 0.7, 0.1]]), torch.tensor([[1, 1, 0]]))["one_error"] == 0
    hidden = torch.tensor([[True, False, True]])
    assert compute(torch.tensor([[0.7, 0.9, 0.1]]), targets, hidden)["one_error"] == 0


def test_coverage_counts_from_one_and_from_zero():
    values = compute(torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[1, 0, 0]]))
    assert values["coverage_error"] == 1
    assert values["coverage_error_base0"] == 0


@pytest.mark.parametrize("masked", [False, True])
def test_neither_order_nor_copies_of_samples_matter(masked):
    parts = data(3, rows=30, masked=masked)
    decisions = parts[0] > 0.45
    expected = compute(*parts, decisions)
    for rows in (torch.randperm(30, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 30):
        moved = [part[rows] for part in (*parts, decisions)]
        assert compute(*moved) == pytest.approx(expected, abs=1e-6)


def test_the_order_of_the_labels_does_not_matter():
    parts = data(3, rows=30, masked=True)
    columns = torch.tensor([4, 0, 5, 2, 1, 3])
    assert compute(*(part[:, columns] for part in parts)) == pytest.approx(compute(*parts), abs=1e-6)


def test_what_is_masked_may_hold_anything():
    probabilities, targets, mask = data(1, masked=True)
    expected = compute(probabilities, targets, mask)
    other = torch.where(mask, probabilities, 1 - probabilities)
    assert compute(other, torch.where(mask, targets, torch.nan), mask) == expected
    hidden = torch.zeros(3, 6, dtype=torch.bool)
    more = [
        torch.cat([part, extra])
        for part, extra in zip((probabilities, targets, mask), (hidden.float(), hidden.float(), hidden))
    ]
    assert compute(*more) == pytest.approx(expected, abs=1e-6)


def test_batches_add_up_and_reset_forgets():
    probabilities, targets, mask = data(2, masked=True)
    metrics = MultiLabelMetrics(space(6))
    metrics.update(probabilities, targets, mask=mask)
    expected = metrics.compute()
    metrics.reset()
    for rows in torch.arange(40).split([1, 7, 32]):
        metrics.update(probabilities[rows], targets[rows].long(), mask=mask[rows])
    for name, value in metrics.compute().items():
        torch.testing.assert_close(value, expected[name], msg=name)
        assert value.ndim == 0


@pytest.mark.parametrize("masked", [False, True])
def test_the_metrics_of_decisions_alone_are_those_of_the_whole(masked):
    probabilities, targets, mask = data(3, masked=masked)
    metrics = MultiLabelMetrics(space(6))
    metrics.update(probabilities, targets, decisions=probabilities > 0.3, mask=mask)
    found, whole = metrics.of_decisions(), metrics.compute()
    assert set(found) == set(DECISION_METRICS)
    assert set(whole) == {*DECISION_METRICS, *PROBABILITY_METRICS}
    for name, value in found.items():
        assert torch.equal(value, whole[name])


def test_half_precision_and_gradients():
    probabilities, targets, _ = data(2)
    metrics = MultiLabelMetrics(space(6))
    metrics.update(probabilities.bfloat16().requires_grad_(), targets)
    values = metrics.compute()
    assert not any(value.requires_grad for value in values.values())
    assert {name: value.item() for name, value in values.items()} == compute(probabilities.bfloat16().float(), targets)


def test_the_metric_can_be_called_cloned_and_pickled():
    probabilities, targets, _ = data(2)
    metrics = MultiLabelMetrics(space(6))
    first = metrics(probabilities[:20], targets[:20])
    assert first["micro_f1"].item() == compute(probabilities[:20], targets[:20])["micro_f1"]
    for twin in (metrics.clone(), copy.deepcopy(metrics), pickle.loads(pickle.dumps(metrics))):
        twin.update(probabilities[20:], targets[20:])
        assert twin.compute()["micro_f1"].item() == compute(probabilities, targets)["micro_f1"]


@pytest.mark.parametrize("masked", [False, True])
def test_per_class(masked):
    probabilities, targets, mask = data(6, masked=masked)
    decisions = probabilities > 0.4
    metrics = MultiLabelMetrics(space(6))
    metrics.update(probabilities, targets, decisions, mask)
    values = metrics.per_class()
    assert list(values) == ["f1", "precision", "recall", "support", "ap"]
    for label in range(6):
        known = mask[:, label]
        truth, on, scores = (part[known, label].numpy() for part in (targets, decisions, probabilities))
        for name, metric in (("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score)):
            expected = metric(truth, on, zero_division=0) if len(truth) else 0
            assert values[name][label].item() == pytest.approx(expected, abs=1e-6), name
        assert values["support"][label] == truth.sum()
        if len(set(truth)) == 2:
            assert values["ap"][label].item() == pytest.approx(sk.average_precision_score(truth, scores), abs=1e-6)
        else:
            assert values["ap"][label].isnan()
    torch.testing.assert_close(values["f1"].mean(), metrics.compute()["macro_f1"])
    torch.testing.assert_close(values["ap"].nanmean(), metrics.compute()["macro_ap"])


def test_per_class_of_one_label():
    metrics = MultiLabelMetrics(space(1))
    metrics.update(torch.tensor([[0.9], [0.8]]), torch.tensor([[1], [0]]))
    values = {name: value.tolist() for name, value in metrics.per_class().items()}
    assert values == {
        "f1": [pytest.approx(2 / 3)],
        "precision": [0.5],
        "recall": [1.0],
        "support": [1.0],
        "ap": [1.0],
    }


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")
@pytest.mark.parametrize("method", ["compute", "per_class"])
@pytest.mark.parametrize("rows", [None, 0, 3])
def test_without_an_annotated_entry_there_is_no_value(method, rows):
    metrics = MultiLabelMetrics(space(2))
    if rows is not None:
        metrics.update(torch.zeros(rows, 2), torch.zeros(rows, 2), mask=torch.zeros(rows, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="need at least one annotated entry, found none"):
        getattr(metrics, method)()
    metrics.update(torch.ones(1, 2), torch.ones(1, 2))
    assert metrics.compute()["micro_f1"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": torch.tensor([[2.0, -1.0]])}, r"must lie in \[0, 1\], found -1 to 2; logits need a sigmoid"),
        ({"probabilities": torch.tensor([[torch.nan, 0.5]])}, "1 NaN, the first in row 0, column 0"),
        ({"probabilities": torch.zeros(1, 3)}, "probabilities have 3 columns for 2 labels"),
        ({"targets": torch.zeros(2, 2)}, r"targets have shape \(2, 2\), the probabilities \(1, 2\)"),
        ({"targets": torch.full((1, 2), 0.5)}, "targets must be 0 or 1, found 0.5"),
        ({"decisions": torch.zeros(1, 2)}, "decisions must be bool of shape .* found torch.float32"),
        (
            {"decisions": torch.zeros(2, 2, dtype=torch.bool)},
            r"decisions must be bool of shape \(1, 2\), found .*\(2, 2\)",
        ),
        ({"mask": torch.zeros(1, 2)}, "mask must be bool"),
    ],
)
def test_wrong_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        MultiLabelMetrics(space(2)).update(
            **({"probabilities": torch.zeros(1, 2), "targets": torch.zeros(1, 2)} | change)
        )


def test_the_table_of_the_docstring_names_every_metric_in_order():
    table = mlemo.metrics.collection.__doc__.split("=\n")[2]
    named = [line.split()[0] for line in table.splitlines() if re.match(r"\w", line)]
    assert sorted(named) == sorted(compute(*data(0)))


def test_goemotions_sized_data_take_well_under_a_second():
    probabilities, targets, _ = data(0, rows=5427, labels=28)
    metrics = MultiLabelMetrics(space(28))
    metrics.update(probabilities, targets)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.process_time()
        metrics.compute()
        assert time.process_time() - start < 1
    finally:
        torch.set_num_threads(threads)
