"""Figures of reports: every kind, its numbers in words, and words of any script."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from mlemo.metrics import compare
from mlemo.reporting.curve_figures import read_scalars
from mlemo.reporting.density_figures import losses_by_minority_labels
from mlemo.reporting.document import Picture
from mlemo.reporting.figures import figures
from mlemo.reporting.results import read_results, trained
from mlemo.reporting.scores import score
from reporting.conftest import NAMES, POSITIVES

Maker = Callable[..., Any]
POINTS = {"F1": "macro_f1", "Loss": "loss"}


def grid(invented: Maker, *drawn: dict[str, Any], **changes: Any) -> Any:
    """Two losses on two corpora, two seeds each, published in percent for one of them."""
    rows = [{"corpus": "one", "loss": "BCE", "F1": 51.25}]
    study = invented(
        metrics=POINTS,
        class_metrics={"F": "f1"},
        scales={"tiny": {"seeds": [1, 2]}},
        varies={"corpus": {"one": {}, "two": {}}, "loss": {"BCE": {}, "Focal": {}}},
        published=[{"table": "T", "unit": "percent", "rows": rows}],
        figures=[{"title": "A title", **figure} for figure in drawn],
        **changes,
    )
    for number, corpus in enumerate(study.study.varies["corpus"]):
        for loss, errors in zip(study.study.varies["loss"], (0.3, 0.15)):
            for seed in (1, 2):
                study.run(corpus, loss, seed=seed, errors=errors, fold=number)
    return study


def draw(study: Any) -> tuple[list[Picture], list[str]]:
    results = read_results(study.study, "tiny", study.folder)
    missing: list[str] = []
    return figures(results, score(results, 20), missing), missing


def percent(values: list[float]) -> str:
    return f"{100 * np.mean(values):.2f}"


def test_bars_lines_boxes_and_heat_maps_state_their_numbers(invented: Maker) -> None:
    common = {"metric": "F1", "across": "corpus", "series": "loss"}
    study = grid(invented, *({"kind": kind, **common} for kind in ("point", "line", "box", "heatmap")))
    pictures, missing = draw(study)
    assert missing == []
    assert [picture.name for picture in pictures] == [
        "figure_01_point",
        "figure_02_line",
        "figure_03_box",
        "figure_04_heatmap",
    ]
    means = {
        (corpus, loss): percent(study.values(corpus, loss)) for corpus in ("one", "two") for loss in ("BCE", "Focal")
    }
    for picture in pictures:
        for suffix, start in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
            assert picture.files[suffix].startswith(start)
        ET.fromstring(picture.files["svg"])
        assert picture.caption.endswith("A title, scale tiny")
    for picture in (*pictures[:2], pictures[3]):
        for (corpus, _), mean in means.items():
            assert f"{corpus} {mean} (" in picture.alternative
        assert picture.alternative.count("published 51.25") == 1
        assert picture.alternative.index("BCE: one") < picture.alternative.index("Focal: one")
    values = [100 * value for value in study.values("two", "Focal")]
    low, middle, high = (f"{value:.2f}" for value in (min(values), np.mean(values), max(values)))
    assert f"two median {middle}, {low} to {high}, 2 values" in pictures[2].alternative


def test_the_same_figure_is_the_same_file(invented: Maker) -> None:
    study = grid(invented, {"kind": "point", "metric": "F1", "across": "loss", "series": "corpus"})
    assert draw(study) == draw(study)


def test_settings_that_are_not_drawn_make_panels_and_where_chooses(invented: Maker) -> None:
    study = grid(
        invented,
        {"kind": "point", "metric": "F1", "across": "loss"},
        {"kind": "point", "metric": "F1", "across": "loss", "where": {"corpus": "two"}},
    )
    (both, two), _ = draw(study)
    assert "one: BCE" in both.alternative
    assert "two: BCE" in both.alternative
    assert percent(study.values("one", "BCE")) not in two.alternative
    assert f"BCE {percent(study.values('two', 'BCE'))} (" in two.alternative


def test_gain_of_each_class_in_points_frequent_classes_first(invented: Maker) -> None:
    study = grid(invented, {"kind": "class_gain", "metric": "F", "across": "loss", "baseline": "BCE"})
    ((picture,), missing) = draw(study)
    assert missing == []
    gains = []
    losses = ("BCE", "Focal")
    two = {loss: [run for labels, run in study.runs.items() if labels[:2] == ("two", loss)] for loss in losses}
    for column, (name, positives) in enumerate(zip(NAMES, POSITIVES)):
        mean = {
            loss: np.mean([f1_score(run.gold[:, column], run.at_half[:, column], zero_division=0.0) for run in runs])
            for loss, runs in two.items()
        }
        # the macro-F1 of one label is its F1
        bce, focal = (torch.stack([torch.as_tensor(run.at_half[:, [column]]) for run in two[loss]]) for loss in mean)
        gold = torch.as_tensor(two["BCE"][0].gold[:, [column]])
        interval = compare("macro_f1", focal, bce, gold, resamples=20)
        ends = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
        gains.append(f"{name} ({positives}) {100 * (mean['Focal'] - mean['BCE']):+.1f} {ends}".replace("-", "−"))
    assert f"two, Focal: {'; '.join(gains)}." in picture.alternative


def test_curves_are_those_of_training_alone(invented: Maker) -> None:
    study = grid(
        invented,
        {"kind": "curve", "scalars": ["val/macro_f1", "train/loss"], "against": "epoch", "series": "loss",
         "where": {"corpus": "one"}},
        {"kind": "curve", "scalars": ["weight/a"], "against": "step", "where": {"corpus": "one", "loss": "BCE"}},
        {"kind": "curve", "scalars": ["train/loss"], "against": "seconds", "where": {"corpus": "one", "loss": "BCE"}},
        {"kind": "curve", "scalars": ["train/nothing"], "against": "epoch"},
    )  # fmt: skip
    for labels, run in study.runs.items():
        if labels[0] == "one":
            run.write_events()
    scalars = read_scalars(study.runs["one", "BCE", "1"].folder)
    assert scalars["val/macro_f1"]["value"].tolist() == pytest.approx([0.21, 0.41])  # 0.9 is the best checkpoint again
    assert scalars["val/macro_f1"]["epoch"].tolist() == [1, 2]
    assert scalars["weight/a"]["step"].tolist() == list(range(10))
    assert (scalars["weight/a"]["seconds"] >= 0).all()
    pictures, missing = draw(study)
    assert missing == ["Figure 4. A title, scale tiny: no finished run has recorded train/nothing"]
    first, second, _ = (picture.alternative for picture in pictures)
    assert "val/macro_f1, BCE: 0.215 at epoch 1, 0.415 at epoch 2; lowest 0.215, highest 0.415." in first
    start = np.mean([np.mean([1 / (step + 1 + seed) for step in range(5)]) for seed in (1, 2)])
    assert f"train/loss, Focal: {start:.4g} at epoch 1" in first
    assert "weight, weight/a: 1 at step 0, 10 at step 9" in second


def test_losses_of_training_samples_by_their_number_of_minority_labels(invented: Maker) -> None:
    study = grid(invented, {"kind": "density", "series": "loss", "where": {"corpus": "one"}})
    _, missing = draw(study)
    assert len(missing) == 1
    assert "no finished run has recorded losses; BatchSelection does so with record_epochs" in missing[0]
    generator = np.random.default_rng(0)
    expected: dict[tuple[int, int], list[float]] = {}
    for labels, run in study.runs.items():
        if labels[:2] == ("one", "BCE"):
            counts = generator.integers(0, 5, 90)
            counts[:2] = 2
            counts[counts == 2] = 3  # no sample has two
            losses = generator.lognormal(-3, 1, (2, 90)).astype(np.float32)
            losses[0, 2:4] = 0.0, np.inf
            np.savez(
                run.folder / "selection_losses.npz", epochs=np.array([2, 5]), losses=losses, minority_labels=counts
            )
            for epoch, row in zip((2, 5), losses):
                for count, loss in zip(counts, row):
                    if loss < np.inf:
                        expected.setdefault((epoch, min(int(count), 3)), []).append(max(float(loss), 1e-7))
    ((picture,), missing) = draw(study)
    assert missing == []
    results = read_results(study.study, "tiny", study.folder)
    (own,) = [found for found in trained(results.combinations) if found.name == "one, BCE"]
    found = losses_by_minority_labels(own)
    assert list(found) == [2, 5]
    names = ("0 minority labels", "1 minority label", "2 minority labels", "more than 2 minority labels")
    for (epoch, count), losses in expected.items():
        name = names[count]
        assert sorted(found[epoch][name].tolist()) == pytest.approx(sorted(losses))
        quartiles = ", ".join(f"{value:.4g}" for value in np.quantile(losses, [0.25, 0.5, 0.75]))
        words = f"epoch {epoch}, {name}: {len(losses)} samples, quartiles {quartiles}."
        assert words in picture.alternative
    assert "2 minority labels: 0" not in picture.alternative
    assert picture.alternative.count("quartiles") == len(expected) == 6


def test_labels_of_any_script_are_drawn_or_named(invented: Maker) -> None:
    study = invented(
        varies={"loss": {"خسارة": {}, "損失 $x": {}, "\U0001f97a": {}}},
        scales={"tiny": {"seeds": [1]}},
        figures=[{"kind": "point", "title": "A title", "metric": "F1", "across": "loss"}],
    )
    for loss in study.study.varies["loss"]:
        study.run(loss, seed=1)
    ((picture,), missing) = draw(study)
    assert "خسارة" in picture.alternative
    assert all("no font of this system has" in line for line in missing)


def test_a_figure_without_runs_is_named(invented: Maker) -> None:
    study = invented(
        varies={"loss": {"BCE": {}, "Focal": {}}},
        class_metrics={"F": "f1"},
        figures=[
            {"kind": "point", "title": "One", "metric": "F1", "across": "loss", "where": {"loss": "Focal"}},
            {
                "kind": "class_gain",
                "title": "Two",
                "source": "Fig. 2",
                "metric": "F",
                "across": "loss",
                "baseline": "BCE",
            },
        ],
    )
    study.run("BCE", seed=1)
    pictures, missing = draw(study)
    assert pictures == []
    assert missing == [
        "Figure 1. One, scale tiny: none of its runs is finished at this scale",
        "Figure 2. Two (as Fig. 2), scale tiny: no combination has finished runs of loss BCE and another label",
    ]
