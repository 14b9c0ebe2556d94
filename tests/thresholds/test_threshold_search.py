"""Fitted cuts against enumeration: the metrics by loops over every combination of cuts, in plain Python."""

import itertools
import time

import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from mlemo.thresholds import GlobalThreshold, PerClassThreshold, per_class

SEEDS = range(25)


def data(seed, rows=6, labels=3, masked=False):
    """Scores with ties, labels without and with only positives among them; about a fifth masked on request."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < torch.rand(labels, generator=generator)
    probabilities = (torch.rand(rows, labels, generator=generator) * 0.6 + targets * 0.3) * 10
    mask = torch.rand(rows, labels, generator=generator) < (0.8 if masked else 2.0)
    mask[0, 0] = True  # at least one entry
    return probabilities.round() / 10, targets, mask


def f1_of(pairs, empty):
    on, truth = sum(d for d, _ in pairs), sum(t for _, t in pairs)
    return empty if on + truth == 0 else 2 * sum(d and t for d, t in pairs) / (on + truth)


def jaccard_of(pairs):
    union = sum(d or t for d, t in pairs)
    return 1.0 if union == 0 else sum(d and t for d, t in pairs) / union


def metric_by_loops(name, decisions, targets, mask):
    """The metric of lists of lists of bool, over entries with mask only."""
    pairs = [[(d, t) if m else None for d, t, m in zip(*row)] for row in zip(decisions, targets, mask)]
    samples = [[pair for pair in row if pair] for row in pairs]
    labels = [[pair for pair in column if pair] for column in zip(*pairs)]
    if name == "micro_f1":
        return f1_of([pair for row in samples for pair in row], empty=0.0)
    if name == "macro_f1":
        return sum(f1_of(label, empty=0.0) for label in labels) / len(labels)
    samples = [row for row in samples if row]
    values = [jaccard_of(row) if name == "jaccard" else f1_of(row, empty=1.0) for row in samples]
    return sum(values) / len(values)


def decide(probabilities, cuts):
    return [[p >= c for p, c in zip(row, cuts)] for row in probabilities.tolist()]


def cuts_by_loops(scores):
    """Every cut worth trying for these scores: below, between and above the distinct ones."""
    distinct = sorted(set(scores))
    edges = [0.0, *distinct, 1.0]
    return [(low + high) / 2 if low < high else low + 1e-6 for low, high in itertools.pairwise(edges)]


def annotated(column, mask):
    return [value for value, known in zip(column.tolist(), mask.tolist()) if known]


def value_of(name, rule, probabilities, targets, mask):
    return metric_by_loops(name, decide(probabilities, rule.thresholds().tolist()), targets.tolist(), mask.tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_agrees_with_scikit_learn(seed):
    probabilities, targets, mask = data(seed)
    decisions = (probabilities >= 0.5).numpy()
    lists = decisions.tolist(), targets.tolist(), mask.tolist()
    for average, empty in (("micro", 0), ("macro", 0), ("samples", 1)):
        expected = f1_score(targets.numpy(), decisions, average=average, zero_division=empty)
        assert metric_by_loops(f"{average}_f1", *lists) == pytest.approx(expected, abs=1e-12)
    expected = jaccard_score(targets.numpy(), decisions, average="samples", zero_division=1)
    assert metric_by_loops("jaccard", *lists) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_per_class_f1_is_the_best_of_all_cuts(seed, masked):
    probabilities, targets, mask = data(seed, rows=9, labels=4, masked=masked)
    cuts = PerClassThreshold().fit(probabilities, targets, mask).thresholds().tolist()
    for label in range(4):
        scores = annotated(probabilities[:, label], mask[:, label])
        truth = annotated(targets[:, label], mask[:, label])
        candidates = cuts_by_loops(scores)
        if not any(truth):  # nothing is predicted
            assert cuts[label] == pytest.approx(candidates[-1], abs=1e-6)
            continue
        values = [f1_of([(score >= cut, t) for score, t in zip(scores, truth)], empty=0.0) for cut in candidates]
        best = [cut for cut, value in zip(candidates, values) if value == max(values)]
        assert min(abs(cuts[label] - cut) for cut in best) < 1e-6
        assert abs(cuts[label] - 0.5) == pytest.approx(min(abs(cut - 0.5) for cut in best), abs=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("metric", ["macro_f1", "micro_f1", "jaccard", "samples_f1"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_global_threshold_is_the_best_of_all_cuts(seed, metric, masked):
    probabilities, targets, mask = data(seed, rows=8, labels=4, masked=masked)
    rule = GlobalThreshold(metric).fit(probabilities, targets, mask)
    candidates = cuts_by_loops(annotated(probabilities.flatten(), mask.flatten()))
    lists = targets.tolist(), mask.tolist()
    values = [metric_by_loops(metric, decide(probabilities, [cut] * 4), *lists) for cut in candidates]
    best = [cut for cut, value in zip(candidates, values) if value > max(values) - 1e-9]
    nearest = min(best, key=lambda cut: abs(cut - 0.5))
    found = rule.thresholds()
    assert (found == found[0]).all()
    # two cuts may be equally near to 0.5
    assert abs(found[0].item() - 0.5) == pytest.approx(abs(nearest - 0.5), abs=1e-6)
    assert value_of(metric, rule, probabilities, targets, mask) == pytest.approx(max(values), abs=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_per_class_micro_f1_is_the_best_of_all_combinations(seed, masked):
    probabilities, targets, mask = data(seed, rows=5, masked=masked)
    rule = PerClassThreshold("micro_f1").fit(probabilities, targets, mask)
    candidates = [cuts_by_loops(probabilities[:, label].tolist()) for label in range(3)]
    lists = targets.tolist(), mask.tolist()
    best = max(
        metric_by_loops("micro_f1", decide(probabilities, cuts), *lists) for cuts in itertools.product(*candidates)
    )
    assert value_of("micro_f1", rule, probabilities, targets, mask) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_per_class_micro_f1_of_more_labels_is_the_best_of_all_combinations(seed):
    """The most hits for each number of predicted entries, label after label (a knapsack), give the optimum."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(25, 5, generator=generator) < 0.1
    probabilities = torch.rand(25, 5, generator=generator)  # without a hint, so that the start is far off
    most = {0: 0}
    for label in range(5):
        truth = targets[probabilities[:, label].argsort(descending=True), label].tolist()
        hits = [sum(truth[:place]) for place in range(26)]
        combined: dict[int, int] = {}
        for (predicted, found), place in itertools.product(most.items(), range(26)):
            combined[predicted + place] = max(combined.get(predicted + place, 0), found + hits[place])
        most = combined
    positives = int(targets.sum())
    best = max(2 * found / (predicted + positives) for predicted, found in most.items())
    mask = torch.ones_like(targets)
    rule = PerClassThreshold("micro_f1").fit(probabilities, targets)
    assert value_of("micro_f1", rule, probabilities, targets, mask) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_per_class_jaccard_is_a_local_optimum_above_both_starts(seed, masked):
    probabilities, targets, mask = data(seed, rows=16, labels=5, masked=masked)
    rule = PerClassThreshold("jaccard").fit(probabilities, targets, mask)
    reached = value_of("jaccard", rule, probabilities, targets, mask)
    for start in (PerClassThreshold(), GlobalThreshold("jaccard")):
        start.fit(probabilities, targets, mask)
        assert reached >= value_of("jaccard", start, probabilities, targets, mask) - 1e-12
    for label in range(5):
        for cut in cuts_by_loops(probabilities[:, label].tolist()):
            cuts = rule.thresholds().tolist()
            cuts[label] = cut
            moved = metric_by_loops("jaccard", decide(probabilities, cuts), targets.tolist(), mask.tolist())
            assert moved <= reached + 1e-9


def test_the_ascent_does_not_get_stuck_below_the_best_single_cut():
    # From the cuts for F1 alone the ascent ends at 0.604 here; the best single cut has 0.729.
    probabilities, targets, mask = data(456, rows=8, labels=3)
    rule = PerClassThreshold("jaccard").fit(probabilities, targets, mask)
    assert value_of("jaccard", rule, probabilities, targets, mask) >= 0.7291


def test_the_ascent_improves_on_both_starts_somewhere():
    gains = []
    for seed in SEEDS:
        probabilities, targets, mask = data(seed, rows=30, labels=5)
        values = [
            value_of("jaccard", rule.fit(probabilities, targets), probabilities, targets, mask)
            for rule in (PerClassThreshold("jaccard"), PerClassThreshold(), GlobalThreshold("jaccard"))
        ]
        gains.append(values[0] - max(values[1:]))
    assert min(gains) >= 0
    assert max(gains) > 0.02


@pytest.mark.parametrize("metric", ["f1", "micro_f1", "jaccard"])
@pytest.mark.parametrize("seed", range(10))
def test_a_grid_with_every_interval_is_as_good_as_exact(seed, metric):
    probabilities, targets, mask = data(seed, rows=12, labels=4, masked=True)
    every = [step / 20 for step in range(1, 20, 2)] + [0.0, 1.0]  # scores are tenths
    name = "macro_f1" if metric == "f1" else metric
    exact = PerClassThreshold(metric).fit(probabilities, targets, mask)
    grid = PerClassThreshold(metric, method="grid", grid=every).fit(probabilities, targets, mask)
    expected = value_of(name, exact, probabilities, targets, mask)
    assert value_of(name, grid, probabilities, targets, mask) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_the_grid_chooses_the_best_of_its_values(seed):
    probabilities, targets, _ = data(seed, rows=20, labels=3)
    grid = [0.9, 0.25, 0.35, 0.45, 0.3]
    cuts = PerClassThreshold(method="grid", grid=grid).fit(probabilities, targets).thresholds()
    for label in range(3):
        truth = targets[:, label].tolist()
        if not any(truth):
            continue
        scores = probabilities[:, label]
        values = {g: f1_of(list(zip((scores >= torch.tensor(g)).tolist(), truth)), empty=0.0) for g in grid}
        best = [g for g in grid if values[g] == max(values.values())]
        assert cuts[label].item() == pytest.approx(min(best, key=lambda g: abs(g - 0.5)))


def test_the_default_grid_has_steps_of_a_hundredth():
    scores = torch.tensor([[0.123], [0.127], [0.131], [0.2]])
    rule = PerClassThreshold(method="grid").fit(scores, torch.tensor([[0], [0], [1], [1]]))
    assert rule.thresholds().tolist() == pytest.approx([0.13])


@pytest.mark.parametrize("metric", ["f1", "micro_f1", "jaccard"])
@pytest.mark.parametrize("method", ["exact", "grid"])
def test_a_label_without_positives_is_not_predicted(metric, method):
    scores = torch.tensor([[0.8, 0.9], [0.7, 0.2], [0.6, 0.1]])
    targets = torch.tensor([[0, 1], [0, 0], [0, 0]])
    rule = PerClassThreshold(metric, method).fit(scores, targets)
    assert rule.predict(scores).tolist() == [[False, True], [False, False], [False, False]]
    if method == "exact":
        assert rule.thresholds()[0].item() == pytest.approx(0.9)  # midway from 0.8 to 1
    else:
        assert rule.thresholds()[0].item() == pytest.approx(0.81)


@pytest.mark.parametrize("method", ["exact", "grid"])
def test_a_label_without_positives_is_not_predicted_even_where_that_changes_nothing(method):
    # The best single cut is the better start here; it predicts the third label of the third sample, where the
    # labels that are right score too low for any gain or loss.
    scores = torch.tensor([[8, 8, 0], [2, 7, 4], [8, 3, 8], [4, 8, 4], [3, 3, 5], [7, 2, 1]]) / 10
    targets = torch.tensor([[0, 1, 0], [1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    rule = PerClassThreshold("jaccard", method).fit(scores, targets)
    assert not rule.predict(scores)[:, 2].any()


@pytest.mark.parametrize("metric", ["f1", "micro_f1", "jaccard"])
def test_without_any_positive_nothing_is_predicted(metric):
    scores = torch.tensor([[1.0, 0.1], [0.5, 0.3]])
    rule = PerClassThreshold(metric).fit(scores, torch.zeros(2, 2))
    assert not rule.predict(scores).any()
    assert 1 < rule.thresholds()[0] < 1.001  # above a score of 1 there is no probability
    assert rule.thresholds()[1].item() == pytest.approx(0.65)
    assert not rule.predict(torch.ones(1, 2))[0, 0]


@pytest.mark.parametrize("rule", [PerClassThreshold(), PerClassThreshold("micro_f1"), PerClassThreshold("jaccard")])
def test_a_label_without_annotation_gets_one_half(rule):
    scores = torch.tensor([[0.9, 0.9], [0.7, 0.2]])
    mask = torch.tensor([[False, True], [False, True]])
    assert rule.fit(scores, torch.tensor([[1, 1], [0, 0]]), mask).thresholds()[0] == 0.5


def test_constant_scores_are_all_or_nothing():
    scores = torch.full((4, 2), 0.25)
    targets = torch.tensor([[1, 0], [0, 0], [0, 0], [0, 0]])
    rule = PerClassThreshold().fit(scores, targets)
    assert rule.thresholds().tolist() == [0.125, 0.625]
    assert GlobalThreshold("macro_f1").fit(scores, targets).thresholds().tolist() == [0.125, 0.125]
    # Jaccard: 3 of 4 rows are empty, so that predicting nothing gives 0.75
    assert GlobalThreshold("jaccard").fit(scores, targets).thresholds().tolist() == [0.625, 0.625]


def test_scores_of_zero_and_one_can_be_separated():
    scores = torch.tensor([[0.0], [1.0]])
    assert PerClassThreshold().fit(scores, torch.tensor([[0], [1]])).thresholds().item() == 0.5
    everything = PerClassThreshold().fit(scores, torch.tensor([[1], [1]]))
    assert everything.predict(scores).all()


def test_one_sample_and_one_label_suffice():
    for targets in (torch.ones(1, 1), torch.zeros(1, 1)):
        scores = torch.tensor([[0.4]])
        rules = [PerClassThreshold(), PerClassThreshold("jaccard"), PerClassThreshold("micro_f1"), GlobalThreshold()]
        for rule in rules[: None if targets.all() else 3]:
            assert torch.equal(rule.fit(scores, targets).predict(scores), targets.bool())


def test_equally_good_cuts_give_the_one_nearest_to_one_half():
    scores = torch.tensor([[0.9], [0.7], [0.2], [0.1]])
    targets = torch.tensor([[1], [0], [0], [1]])  # F1: 2/3 for the top one, then 2/4, 2/5, and 4/6 for all
    assert PerClassThreshold().fit(scores, targets).thresholds().item() == pytest.approx(0.8)
    scores = torch.tensor([[0.99], [0.9], [0.85], [0.8]])  # midway 0.945 or 0.4
    assert PerClassThreshold().fit(scores, targets).thresholds().item() == pytest.approx(0.4)


def test_a_cut_lies_midway_so_that_noise_does_not_flip_decisions():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(200, 5, generator=generator) < 0.3
    scores = (torch.rand(200, 5, generator=generator) * 0.5 + targets * 0.25).mul(50).round() / 50  # gaps of 0.02
    noise = (torch.rand(200, 5, generator=generator) - 0.5) * 0.018
    for rule in (PerClassThreshold(), GlobalThreshold(), PerClassThreshold("micro_f1"), PerClassThreshold("jaccard")):
        rule.fit(scores, targets)
        assert torch.equal(rule.predict((scores + noise).clamp(0, 1)), rule.predict(scores))


def test_neighbouring_floats_are_separated():
    low = torch.tensor(0.3)
    for _ in range(4):
        high = torch.nextafter(low, torch.tensor(1.0))
        scores = torch.stack([low, high])[:, None]
        rule = PerClassThreshold().fit(scores, torch.tensor([[0], [1]]))
        assert rule.predict(scores).tolist() == [[False], [True]]
        low = high


def test_shrinkage_moves_towards_the_global_threshold():
    for metric, single in (("f1", "macro_f1"), ("micro_f1", "micro_f1"), ("jaccard", "jaccard")):
        probabilities, targets, mask = data(4, rows=40, labels=4, masked=True)
        own = PerClassThreshold(metric).fit(probabilities, targets, mask).thresholds()
        shared = GlobalThreshold(single).fit(probabilities, targets, mask).thresholds()
        assert not torch.allclose(own, shared)
        for shrinkage in (0.0, 0.25, 1.0):
            cuts = PerClassThreshold(metric, shrinkage=shrinkage).fit(probabilities, targets, mask).thresholds()
            torch.testing.assert_close(cuts, (1 - shrinkage) * own + shrinkage * shared)


def test_cross_fit_averages_the_cuts_of_fits_without_each_fold():
    probabilities, targets, mask = data(7, rows=31, labels=4, masked=True)
    fits = []
    for fold in range(3):
        kept = [row for row in range(31) if row % 3 != fold]
        fits.append(PerClassThreshold().fit(probabilities[kept], targets[kept], mask[kept]).thresholds())
    expected = sum(fits) / 3
    cuts = PerClassThreshold(cross_fit=3).fit(probabilities, targets, mask).thresholds()
    torch.testing.assert_close(cuts, expected)
    assert not torch.allclose(cuts, PerClassThreshold().fit(probabilities, targets, mask).thresholds())
    shared = GlobalThreshold("macro_f1").fit(probabilities, targets, mask).thresholds()
    both = PerClassThreshold(cross_fit=3, shrinkage=0.5).fit(probabilities, targets, mask).thresholds()
    torch.testing.assert_close(both, (expected + shared) / 2)


def test_there_are_no_more_folds_than_rows():
    probabilities = torch.tensor([[0.9, 0.2], [0.4, 0.7], [0.6, 0.5], [0.5, 0.6]])
    targets = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]])
    fewer = PerClassThreshold(cross_fit=4).fit(probabilities, targets).thresholds()
    assert torch.equal(PerClassThreshold(cross_fit=5).fit(probabilities, targets).thresholds(), fewer)
    assert not torch.equal(PerClassThreshold().fit(probabilities, targets).thresholds(), fewer)
    single = probabilities[:1], targets[:1]
    alone = PerClassThreshold(cross_fit=5).fit(*single).thresholds()
    assert torch.equal(alone, PerClassThreshold().fit(*single).thresholds())


def test_shrinkage_and_cross_fitting_lower_the_optimism_of_a_small_validation_set():
    """Cuts from 60 rows, judged on 5,000 fresh rows: the tuned score is too high, and the remedies help there."""

    def sample(rows, generator):
        prevalence = torch.tensor([0.35, 0.2, 0.1, 0.06, 0.04])
        targets = torch.rand(rows, 5, generator=generator) < prevalence
        return torch.sigmoid(torch.randn(rows, 5, generator=generator) + 2 * targets - 2), targets

    def macro_f1(rule, probabilities, targets):
        on = rule.predict(probabilities)
        return (2 * (on & targets).sum(0) / (on.sum(0) + targets.sum(0)).clamp(min=1)).mean().item()

    generator = torch.Generator().manual_seed(0)
    fresh = sample(5_000, generator)
    totals = {}
    for _ in range(12):
        few = sample(60, generator)
        for name, rule in (
            ("plain", PerClassThreshold()),
            ("shrunk", PerClassThreshold(shrinkage=0.5)),
            ("crossed", PerClassThreshold(cross_fit=10)),
        ):
            rule.fit(*few)
            seen, unseen = totals.get(name, (0.0, 0.0))
            totals[name] = seen + macro_f1(rule, *few) / 12, unseen + macro_f1(rule, *fresh) / 12
    assert totals["plain"][0] - totals["plain"][1] > 0.05
    for name in ("shrunk", "crossed"):
        assert totals[name][0] < totals["plain"][0]
        assert totals[name][1] > totals["plain"][1]


def test_a_large_corpus_takes_less_than_half_a_second():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(50_000, 28, generator=generator) < 0.05
    probabilities = torch.sigmoid(torch.randn(50_000, 28, generator=generator) + 2 * targets - 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = []
        for _ in range(3):
            start = time.process_time()
            PerClassThreshold().fit(probabilities, targets).predict(probabilities)
            seconds.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("settings", [{}, {"cross_fit": 3, "shrinkage": 0.5}, {"method": "grid"}])
def test_labels_searched_a_few_at_a_time_have_the_cuts_of_all_at_once(settings, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(40, 23, generator=generator) < 0.2
    scores = (torch.rand(40, 23, generator=generator) * 20).round() / 20
    mask = torch.rand(40, 23, generator=generator) < 0.9
    together = PerClassThreshold(**settings).fit(scores, targets, mask).thresholds()
    for table in (1, 40 * 5):
        monkeypatch.setattr(per_class, "TABLE", table)
        assert torch.equal(PerClassThreshold(**settings).fit(scores, targets, mask).thresholds(), together)
