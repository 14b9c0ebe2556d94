"""Numbers of reports against scikit-learn, SciPy and loops."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import f1_score

from mlemo.experiments.rules import rule_scores
from mlemo.metrics import bootstrap_interval, compare
from mlemo.reporting.markdown import as_markdown
from mlemo.reporting.results import Results, read_results
from mlemo.reporting.scores import Scores, score
from mlemo.reporting.study_report import make_report

Maker = Callable[..., Any]
RESAMPLES = 300


def scored(study: Any) -> Scores:
    return score(read_results(study.study, "tiny", study.folder), RESAMPLES)


def labels(study: Any, *names: str) -> tuple[tuple[str, str], ...]:
    return tuple(zip(study.study.varies, names))


def of_part(study: Any, label: str) -> Results:
    """The results without the runs of a label."""
    results = read_results(study.study, "tiny", study.folder)
    return replace(
        results, combinations=tuple(own for own in results.combinations if label not in dict(own.labels).values())
    )


def macro_f1(truth: Any, decided: Any) -> float:
    hits, wrong = (truth & decided).sum(0), (truth ^ decided).sum(0)
    return float(np.mean(2 * hits / np.maximum(2 * hits + wrong, 1)))


def test_mean_and_spread_are_those_of_the_records(two_losses: Any) -> None:
    scores = scored(two_losses)
    for loss in ("BCE", "Focal"):
        for name, key in (("F1", "macro_f1"), ("tuned F1", "tuned_macro_f1")):
            values = two_losses.values(loss, key=key)
            found = scores.by[labels(two_losses, loss), name]
            assert list(found.values.values()) == values
            assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    cost = scores.by[labels(two_losses, "BCE"), "Parameters"]
    assert (cost.mean, cost.sd, cost.over) == (109_486_092, 0, "")
    assert isnan(cost.low)
    assert scores.problems == []


def test_intervals_and_differences_are_those_of_the_paired_bootstrap(two_losses: Any) -> None:
    scores = scored(two_losses)
    outputs = {loss: two_losses.outputs(loss) for loss in ("BCE", "Focal")}
    tensors = {loss: torch.from_numpy(np.stack(own)) for loss, (own, _) in outputs.items()}
    gold = torch.from_numpy(outputs["BCE"][1])
    base = scores.by[labels(two_losses, "BCE"), "F1"]
    assert (base.low, base.mean, base.high) == pytest.approx(
        bootstrap_interval("macro_f1", tensors["BCE"], gold, resamples=RESAMPLES)
    )
    (found,) = [own for own in scores.differences if own.metric == "F1"]
    expected = compare("macro_f1", tensors["Focal"], tensors["BCE"], gold, resamples=RESAMPLES)
    assert found.labels == labels(two_losses, "Focal")
    assert found.result.difference == pytest.approx(expected.difference)
    assert found.p_holm == found.result.p == expected.p  # one comparison

    # and by a loop that shares nothing with them: samples and seeds drawn, scikit-learn's F1
    generator = np.random.default_rng(3)
    drawn: dict[str, list[float]] = {"BCE": [], "difference": []}
    for _ in range(RESAMPLES):
        rows = generator.integers(0, len(gold), len(gold))
        means = {}
        for loss, (own, truth) in outputs.items():
            seeds = generator.integers(0, 3, 3)
            means[loss] = np.mean([macro_f1(truth[rows], own[seed][rows]) for seed in seeds])
        drawn["BCE"].append(means["BCE"])
        drawn["difference"].append(means["Focal"] - means["BCE"])
    assert (base.low, base.high) == pytest.approx(np.quantile(drawn["BCE"], [0.025, 0.975]), abs=0.02)
    assert (found.result.low, found.result.high) == pytest.approx(
        np.quantile(drawn["difference"], [0.025, 0.975]), abs=0.02
    )


def test_folds_have_intervals_over_folds_and_are_paired_by_fold(invented: Maker) -> None:
    study = invented(varies={"loss": {"BCE": {}, "Focal": {}, "ASL": {}}})
    for seed in (1, 2, 3):
        for loss, errors in (("BCE", 0.3), ("Focal", 0.2), ("ASL", 0.28)):
            study.run(loss, seed=seed, errors=errors, fold=seed)
    scores = scored(study)
    base = study.values("BCE")
    found = scores.by[labels(study, "BCE"), "F1"]
    expected = stats.t.interval(0.95, 2, loc=np.mean(base), scale=stats.sem(base))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.over == "folds"
    differences = {dict(own.labels)["loss"]: own for own in scores.differences}
    p = {}
    for loss in ("Focal", "ASL"):
        own = study.values(loss)
        result = stats.ttest_rel(own, base)
        p[loss] = result.pvalue
        interval = result.confidence_interval(0.95)
        assert differences[loss].result.difference == pytest.approx(np.mean(own) - np.mean(base))
        assert (differences[loss].result.low, differences[loss].result.high) == pytest.approx(tuple(interval))
        assert differences[loss].result.p == pytest.approx(result.pvalue)
        assert differences[loss].over == "folds"
    smaller, larger = sorted(p, key=lambda loss: p[loss])
    assert differences[smaller].p_holm == pytest.approx(min(1, 2 * p[smaller]))
    assert differences[larger].p_holm == pytest.approx(max(p[larger], min(1, 2 * p[smaller])))


def test_folds_that_lack_one_are_paired_by_those_that_both_have(invented: Maker) -> None:
    study = invented()
    for seed in (1, 2, 3):
        study.run("BCE", seed=seed, fold=seed)
        if seed != 1:
            study.run("Focal", seed=seed, fold=seed)
    (found,) = scored(study).differences
    base = study.values("BCE")
    assert found.result.difference == pytest.approx(np.mean(study.values("Focal")) - np.mean(base[1:]))


def test_corpora_are_not_compared_with_each_other(invented: Maker) -> None:
    study = invented(varies={"corpus": {"one": {}, "two": {}}}, scales={"tiny": {"seeds": [1]}})
    for fold, corpus in enumerate(("one", "two")):
        study.run(corpus, seed=1, fold=fold)
    scores = scored(study)
    assert scores.differences == []
    for corpus in ("one", "two"):
        own, gold = study.outputs(corpus)
        found = scores.by[labels(study, corpus), "F1"]
        expected = bootstrap_interval("macro_f1", *map(torch.from_numpy, (own[0], gold)), resamples=RESAMPLES)
        assert (found.low, found.mean, found.high) == pytest.approx(expected)


def test_wilcoxon_over_all_combinations(invented: Maker) -> None:
    corpora = [f"c{number}" for number in range(6)]
    study = invented(
        varies={"corpus": {name: {} for name in corpora}, "loss": {"BCE": {}, "Focal": {}, "ASL": {}}},
        scales={"tiny": {"seeds": [1]}},
    )
    for number, corpus in enumerate(corpora):
        for loss, errors in (("BCE", 0.25), ("Focal", 0.15), ("ASL", 0.25)):
            study.run(corpus, loss, seed=1, errors=errors, rows=25, fold=number)
    scores = score(read_results(study.study, "tiny", study.folder), 20)
    means = {loss: [np.mean(study.values(corpus, loss)) for corpus in corpora] for loss in ("BCE", "Focal", "ASL")}
    p = {loss: stats.wilcoxon(means[loss], means["BCE"]).pvalue for loss in ("Focal", "ASL")}
    found = {own.label: own for own in scores.overall}
    assert {loss: found[loss].test.p for loss in found} == pytest.approx(p)
    assert found["Focal"].difference == pytest.approx(np.mean(means["Focal"]) - np.mean(means["BCE"]))
    assert found["Focal"].p_holm == pytest.approx(min(1, 2 * p["Focal"]))
    assert found["Focal"].test.pairs == 6


def test_wilcoxon_within_each_network_and_from_the_published_numbers(invented: Maker) -> None:
    corpora, networks, losses = [f"c{number}" for number in range(7)], ("A", "B"), ("BCE", "Focal")
    draw = np.random.default_rng(0)
    printed = {(n, c, loss): round(float(draw.random()), 4) for n in networks for c in corpora for loss in losses}
    del printed["B", "c0", "Focal"]  # a row that the paper does not have
    rows = [
        {"network": network, "corpus": corpus, "loss": loss, "F1": value}
        for (network, corpus, loss), value in printed.items()
    ]
    study = invented(
        varies={
            "network": {name: {} for name in networks},
            "corpus": {name: {} for name in corpora},
            "loss": {name: {} for name in losses},
        },
        scales={"tiny": {"seeds": [1]}},
        published=[{"table": "Table 1", "unit": "1", "rows": rows}],
        published_tests=[{"table": "Table 2", "rows": [{"network": "A", "loss": "Focal", "F1": 0.0123}]}],
    )  # fmt: skip
    for network in networks:
        for number, corpus in enumerate(corpora):
            for loss, errors in (("BCE", 0.25), ("Focal", 0.15)):
                study.run(network, corpus, loss, seed=1, errors=errors, rows=25, fold=number)
    results = read_results(study.study, "tiny", study.folder)
    scores = score(results, 20)
    ours = {key: np.mean(study.values(*key)) for key in itertools.product(networks, corpora, losses)}
    for tests, values in ((scores.overall, ours), (scores.published, printed)):
        p = {}
        for network in networks:
            pairs = [
                (values[network, c, "Focal"], values[network, c, "BCE"])
                for c in corpora
                if (network, c, "Focal") in values
            ]
            p[network] = stats.wilcoxon(*zip(*pairs)).pvalue
        found = {own.within: own for own in tests}
        assert set(found) == {None, ("network", "A"), ("network", "B")}  # two networks are too few for each corpus
        less, more = sorted(networks, key=lambda network: p[network])
        assert found["network", less].test.p == pytest.approx(p[less])
        assert found["network", more].test.p == pytest.approx(p[more])
        assert found["network", less].p_holm == pytest.approx(min(1, 2 * p[less]))
        assert found["network", more].p_holm == pytest.approx(max(p[more], min(1, 2 * p[less])))
    text = as_markdown(make_report(results, score(results, 20)), "figures")
    assert "Wilcoxon's signed-rank test, scale tiny, for each network" in text
    assert "Wilcoxon's signed-rank test, from the published numbers, for each network" in text
    # printed p-values stand beside those of the same network, compared with the same label
    shown = [line.split(" | ")[-2:] for line in text.splitlines() if re.match(r"\| [AB] \| F1 \| Focal \|", line)]
    assert shown == [["0.0123", "Table 2 |"], ["–", "– |"]] * 2
    assert text.count("| published p | table |") == 2
    part = of_part(study, "BCE")
    assert "published p" not in as_markdown(make_report(part, score(part, 20)), "figures")


def test_rules_after_the_fact_are_fitted_on_validation_and_scored_on_the_test(invented: Maker) -> None:
    study = invented(
        rules={
            "0.7": {"class_path": "FixedThreshold", "init_args": {"threshold": 0.7}},
            "per class": {"class_path": "PerClassThreshold"},
        },
        metrics={"F1": "tuned_macro_f1", "AP": "macro_ap"},
        scales={"tiny": {"seeds": [1, 2]}},
    )
    for loss in ("BCE", "Focal"):
        for seed in (1, 2):
            study.run(loss, seed=seed)
    scores = scored(study)
    for rule in ("0.7", "per class"):
        for loss in ("BCE", "Focal"):
            own = [rule_scores(study.runs[loss, seed].folder, study.study.rules[rule]) for seed in ("1", "2")]
            found = scores.by[(*labels(study, loss), ("threshold", rule)), "F1"]
            assert list(found.values.values()) == pytest.approx([values["macro_f1"] for values in own], abs=1e-6)
            found = scores.by[(*labels(study, loss), ("threshold", rule)), "AP"]
            assert found.mean == pytest.approx(np.mean([values["macro_ap"] for values in own]), abs=1e-6)
    differences = [own for own in scores.differences if own.metric == "F1"]
    assert [dict(own.labels) for own in differences] == [
        {"loss": loss, "threshold": "per class"} for loss in ("BCE", "Focal")
    ]
    at_half = study.runs["BCE", "1"]
    assert scores.by[(*labels(study, "BCE"), ("threshold", "0.7")), "F1"].values[1] == pytest.approx(
        f1_score(at_half.gold, at_half.probabilities >= 0.7, average="macro", zero_division=0.0)
    )


def test_labels_of_the_compared_setting_are_compared_beside_the_same_other_labels(invented: Maker) -> None:
    study = invented(
        varies={"loss": {"BCE": {}, "Focal": {}}, "order": {"up": {}, "down": {}}},
        scales={"tiny": {"seeds": [1, 2]}},
        compare="loss",
    )
    for loss, errors in (("BCE", 0.3), ("Focal", 0.15)):
        for order in ("up", "down"):
            for seed in (1, 2):
                study.run(loss, order, seed=seed, errors=errors)
    scores = scored(study)
    assert scores.first == "BCE"
    assert [dict(own.labels) for own in scores.differences] == [
        {"loss": "Focal", "order": order} for order in ("up", "down")
    ]
    for own, order in zip(scores.differences, ("up", "down"), strict=True):
        expected = np.mean(study.values("Focal", order)) - np.mean(study.values("BCE", order))
        assert own.result.difference == pytest.approx(expected)
    results = read_results(study.study, "tiny", study.folder)
    assert "difference from loss BCE" in as_markdown(make_report(results, score(results, 20)), "figures")
    other = score(read_results(study.study.comparing("order"), "tiny", study.folder), RESAMPLES)
    assert [dict(own.labels) for own in other.differences] == [
        {"loss": loss, "order": "down"} for loss in ("BCE", "Focal")
    ]
    assert {place: own.values for place, own in other.by.items()} == {
        place: own.values for place, own in scores.by.items()
    }
    assert not any(isnan(own.low) for own in (*scores.by.values(), *other.by.values()))


def test_losses_under_rules_are_paired_within_each_rule_alone(invented: Maker) -> None:
    """Rules share the runs: six corpora under two rules are six pairs, twice."""
    corpora = [f"c{number}" for number in range(6)]
    study = invented(
        varies={"corpus": {name: {} for name in corpora}, "loss": {"BCE": {}, "Focal": {}}},
        rules={cut: {"class_path": "FixedThreshold", "init_args": {"threshold": float(cut)}} for cut in ("0.5", "0.7")},
        metrics={"F1": "tuned_macro_f1"},
        scales={"tiny": {"seeds": [1]}},
        compare="loss",
    )
    for number, corpus in enumerate(corpora):
        for loss, errors in (("BCE", 0.25), ("Focal", 0.15)):
            study.run(corpus, loss, seed=1, errors=errors, rows=25, fold=number)
    scores = scored(study)
    assert len(scores.differences) == 12
    assert [own.within for own in scores.overall] == [("threshold", "0.5"), ("threshold", "0.7")]
    for own in scores.overall:
        assert own.within is not None
        means = {
            loss: [scores.by[(("corpus", corpus), ("loss", loss), own.within), "F1"].mean for corpus in corpora]
            for loss in ("BCE", "Focal")
        }
        assert own.test.pairs == 6
        assert own.test.p == pytest.approx(stats.wilcoxon(means["Focal"], means["BCE"]).pvalue)


def test_missing_predictions_leave_the_mean_and_take_the_interval(two_losses: Any) -> None:
    (two_losses.runs["Focal", "2"].folder / "predictions_test.csv").unlink()
    scores = scored(two_losses)
    found = scores.by[labels(two_losses, "Focal"), "F1"]
    assert found.mean == pytest.approx(np.mean(two_losses.values("Focal")))
    assert isnan(found.low)
    assert not isnan(scores.by[labels(two_losses, "BCE"), "F1"].low)
    assert scores.differences == []
    (problem,) = scores.problems
    assert problem.startswith("Focal: no intervals and no tests: ")
    assert "predictions_test.csv does not exist" in problem


def test_predictions_that_contradict_the_record_are_not_used(two_losses: Any) -> None:
    run = two_losses.runs["Focal", "2"]
    run.results["macro_f1"] += 0.001
    run.write_record()
    scores = scored(two_losses)
    recorded = run.results["macro_f1"]
    found = f"macro_f1 is {recorded:.4f} in its record but {recorded - 0.001:.4f} from its predictions"
    assert scores.problems == [f"Focal, seed 2: no intervals and no tests: {found}"]
    assert isnan(scores.by[labels(two_losses, "Focal"), "F1"].low)


def test_a_metric_that_a_record_lacks_is_named(two_losses: Any) -> None:
    run = two_losses.runs["BCE", "3"]
    run.write_record(cost={})
    scores = scored(two_losses)
    assert scores.problems == ["BCE, seed 3: no cost.parameters"]
    assert list(scores.by[labels(two_losses, "BCE"), "Parameters"].values) == [1, 2]


def test_resamples_are_limited_for_many_texts_and_labels(two_losses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    results = read_results(two_losses.study, "tiny", two_losses.folder)
    monkeypatch.setattr("mlemo.metrics.intervals.BUDGET", 60 * 4 * 300)
    limited = score(results, 1000, bounded=True)
    assert limited.problems == ["60 texts × 4 labels: 300 resamples in place of 1,000; --resamples sets any number"]
    assert limited.differences == score(results, 300).differences
    assert score(results, 1000).problems == []
