"""The studies that come with mlemo: whole, runnable, and with the numbers and oddities of the papers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

from mlemo.experiments.published import PublishedRow
from mlemo.experiments.study import PlannedRun, Study
from mlemo.experiments.study_file import DEFINITIONS, load_study
from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics
from mlemo.metrics.weighted import DECISION_METRICS

NAMES = sorted(file.stem for file in DEFINITIONS.glob("*.yaml") if not file.stem.startswith("gthl-"))
WITHOUT_PAPER = {"losses-2026", "selection"}
WITHOUT_TABLES = {"batch-selection-text", "sigmoidf1-parameters", *WITHOUT_PAPER}
COST = {"parameters", "trainable_parameters", "train_samples_per_second", "seconds_per_epoch", "train_minutes",
        "processor_seconds_per_epoch", "test_ms_per_batch", "peak_memory_bytes"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_study_is_whole(name: str) -> None:
    study = load_study(name)
    assert set(study.scales) == {"tiny", "small", "paper"} - ({"paper"} if name in WITHOUT_PAPER else set())
    assert study.notes
    assert study.figures
    assert bool(study.published) == (name not in WITHOUT_TABLES)
    metrics = MultiLabelMetrics(LabelSpace(("a", "b")))
    metrics.update(torch.tensor([[0.1, 0.9], [0.8, 0.3]]), torch.eye(2))
    for key in study.metrics.values():
        if key.startswith("tuned_"):  # only decisions can be tuned
            assert key.removeprefix("tuned_") in DECISION_METRICS
        else:
            of_orders = re.sub(r"_order_mean$|_order_std$|_averaged$", "", key)  # those of PromptOrders
            assert of_orders in metrics.compute() or key.removeprefix("cost.") in COST
    assert set(study.class_metrics.values()) <= set(metrics.per_class())
    assert study.expand("tiny")
    text = study.path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w}])/\w+/", text), "a path of somebody's machine"


def test_studies_compare_what_their_titles_ask_for() -> None:
    """Most ask about the setting that is varied last."""
    compared = {name: study.compare for name in NAMES if (study := load_study(name)).compare != study.settings[-1]}
    assert compared == {"sigmoidf1": "loss", "wdl-orders": "order"}


def planned(study: Study, scale: str) -> list[PlannedRun]:
    """The runs, with a made-up value for every variable that has no default."""
    size = study.scales[scale]
    options = [study.varies[setting][label] for case in study.cases for setting, label in case]
    own = [setting for option in options for setting in (option.get(scale, ()) if isinstance(option, dict) else option)]
    names = set(re.findall(r"\$\{(\w+)\}", " ".join(setting.word for setting in (*size.settings, *own))))
    return study.expand(scale, {name: f"/nowhere/{name}" for name in names - size.variables.keys()})


def covering(study: Study) -> Iterator[PlannedRun]:
    """Runs that hold every scale's words and, at some scale, every option that has words of its own."""
    seen: set[Any] = set()
    for scale in study.scales:
        for run in planned(study, scale):
            options: set[Any] = {scale}
            for setting, label in run.labels:
                option = study.varies[setting][label]
                options.add((setting, option[scale] if isinstance(option, dict) else option))
            if not options <= seen:
                seen |= options
                yield run


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_understood_at_every_scale(name: str, fit_parser: Any) -> None:
    study = load_study(name)
    for run in covering(study):
        config = fit_parser.parse_args(["fit", *run.words])["fit"]
        assert config["seed_everything"] == run.seed, run.name


FOOTNOTES = {
    "wdl-orders": ["coverage is counted from 0", "does not define AP", "draws none of these figures"],
    "wdl-backbone": ["of which samples Fig. 4 is"],
    "wdl-minority": [
        "classes from the rarest down",
        "cannot hold training counts",
        "77 training and 6 test examples",
        "5 to 6 hits",
    ],
    "wdl-losses": ["leaves out Wasserstein", 'identical to the row "D0 \\(label \\+ ratio\\)"'],
    "wdl-ablation": ["identical to the BCE row of Table 6"],
    "wdl-cost": ["ratio of 2.98", "padded"],
    "wdl-weights": [
        "sets the learned weights of the orders side by side",
        "Descent on a softmax moves weight",
        "cannot be compared between epochs",
    ],
    "sigmoidf1": ["Fig. 4 to 8 have a box for each loss", "micro-F1 by its formula is what others call macro-F1"],
    "batch-selection": [
        "LLOG-F of Table 1 has words for labels",
        "last 25 and 28 columns",
        "MeanIR 9.93 of enron",
        "misplaced in rows 3001 to 6000",
        "20 positives or fewer",
        "11 values for 12 columns",
        "Bold marks",
        "best epoch is not restored",
        "differ in more than selection",
        "identical in all digits",
        "code counts it as 0",
        "tmc2007, of which the paper used the 490 heaviest",
    ],
}


@pytest.mark.parametrize("name", FOOTNOTES)
def test_oddities_of_the_published_tables_are_noted(name: str) -> None:
    notes = "\n".join(load_study(name).notes)
    for note in FOOTNOTES[name]:
        assert re.search(note, notes), note


PAPERS = {"wdl": "000", "soft": "002", "sigmoidf1": "003", "batch-selection": "004"}
PAPER_FOLDER = os.environ.get("MLEMO_PAPERS")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", text)]


def holds(found: list[float], values: list[float]) -> bool:
    """Whether the values stand next to one another, in this order."""
    return any(found[start : start + len(values)] == values for start in range(len(found)))


def in_order(found: list[float], values: list[float]) -> bool:
    rest = iter(found)
    return all(value in rest for value in values)


@pytest.mark.skipif(PAPER_FOLDER is None, reason="MLEMO_PAPERS names no folder with the texts of the papers")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_TABLES])
def test_published_numbers_stand_in_the_papers(name: str) -> None:
    study = load_study(name)
    prefix = next(number for start, number in PAPERS.items() if name.startswith(start))
    (file,) = Path(str(PAPER_FOLDER)).glob(f"{prefix}_*.txt")
    text = file.read_text(encoding="utf-8")
    lines = [numbers(line.replace("F1", "F1 ")) for line in text.splitlines()]
    rows = list(study.published)
    if name == "soft-losses":  # its columns are printed one after the other
        check_columns(rows, numbers(text))
        return
    if name == "soft-batch":  # its rows are some of those
        others = [(dict(row.labels)["loss"], row.values, row.plus_minus) for row in load_study("soft-losses").published]
        assert all((dict(row.labels)["loss"], row.values, row.plus_minus) in others for row in rows)
        return
    if name in ("wdl-orders", "wdl-backbone"):  # orders are columns there
        check_orders([row for row in rows if row.table == "Table 3"], lines, 13 if name == "wdl-orders" else 2)
        rows = [row for row in rows if row.table != "Table 3"]
    if name == "wdl-orders":  # metrics are rows, and the last column is that of the authors
        last = [line[-1] for line in lines if line]
        for row in rows:
            values = sorted(row.values.values())
            assert any(sorted(last[start : start + len(values)]) == values for start in range(len(last))), row
        return
    if name == "wdl-minority":  # the two systems are columns
        for of_class in {row.of_class for row in rows}:
            both = [row.values["F1"] for row in rows if row.of_class == of_class]
            assert any(of_class in line and holds(numbers(line), both) for line in text.splitlines()), of_class
        return
    if name == "wdl-cost":
        for row in rows:
            parameters, speed, inference = row.values.values()
            pattern = rf"{parameters / 1e6:g} M\s+{speed}\s+{inference}"
            assert re.search(pattern, text), pattern
        return
    if name == "sigmoidf1":
        check_minutes([row for row in rows if row.table == "Table 6"], text)
        rows = [row for row in rows if row.table != "Table 6"]
    for row in rows:
        values = list(row.values.values())
        assert any(in_order(line, values) for line in lines), row
    if name in ("batch-selection", "batch-selection-chain"):  # two selections stand in turn
        assert len(rows) == (130 if name == "batch-selection" else 8)
        for first, second in list(pairwise(rows))[::2]:
            assert first.labels[:-1] == second.labels[:-1]
            both = [value for pair in zip(first.values.values(), second.values.values()) for value in pair]
            assert any(in_order(line, both) for line in lines), first


def test_p_values_of_batch_selection_stand_in_the_paper_and_follow_from_its_table() -> None:
    """But for the four that the study notes."""
    study = load_study("batch-selection")
    tests = {row.within: row for row in study.published_tests}
    assert {(row.table, row.compare, row.first, row.label) for row in tests.values()} == {
        ("Table 3", "selection", "Random", "Adaptive")
    }
    values: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in study.published:
        labels = dict(row.labels)
        for metric, value in row.values.items():
            values.setdefault((labels["network"], metric, labels["selection"]), {})[labels["dataset"]] = value
    others = set()
    for network in study.varies["network"]:
        for metric in ("Macro-F", "Micro-F", "Macro-AUC", "Ranking Loss", "Hamming Loss", "One Error"):
            adaptive, random = (values[network, metric, label] for label in ("Adaptive", "Random"))
            both = [(adaptive[name], random[name]) for name in adaptive.keys() & random.keys()]
            own = stats.wilcoxon(*zip(*both)).pvalue
            if not 0.5 < own / tests["network", network].p[metric] < 2:
                others.add((network, metric))
    assert others == {("C2AE", "Hamming Loss"), ("C2AE", "One Error"), ("PACA", "Hamming Loss"), ("DELA", "One Error")}
    assert any("C2AE's Hamming Loss and One Error, PACA's Hamming Loss and DELA's One Error" in n for n in study.notes)
    if PAPER_FOLDER is not None:
        (file,) = Path(PAPER_FOLDER).glob("004_*.txt")
        table = file.read_text(encoding="utf-8").split("**Table 3.**")[0].splitlines()[-10:]
        columns = [f"\t{network}" for network in study.varies["network"]]
        assert "".join(columns) in table
        for metric in tests["network", "C2AE"].p:
            (line,) = [line for line in table if line.startswith(f"{metric}\t")]
            assert numbers(line) == [tests["network", name].p[metric] for name in study.varies["network"]]
            for cell, name in zip(line.split("\t")[1:], study.varies["network"], strict=True):
                assert ("win" in cell) == (tests["network", name].p[metric] < 0.05)


def check_orders(rows: Sequence[PublishedRow], lines: list[list[float]], count: int) -> None:
    columns: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for metric, value in row.values.items():
            columns.setdefault((dict(row.labels)["corpus"], metric), []).append(value)
    assert len(columns) == count
    assert all(any(holds(line, values) for line in lines) for values in columns.values())


def check_minutes(rows: Sequence[PublishedRow], text: str) -> None:
    losses: dict[str, list[float]] = {}
    for row in rows:
        losses.setdefault(dict(row.labels)["loss"], []).append(row.values["Minutes"])
    assert len(losses) == 5
    for values in losses.values():
        assert " ".join(f"{value:g}" for value in values) in text, values


def check_columns(rows: Sequence[PublishedRow], found: list[float]) -> None:
    columns: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        loss = dict(row.labels)["loss"] if row.of_class else ""
        for metric, value in row.values.items():
            column = columns.setdefault((row.table, loss, metric), [])
            column += [value, row.plus_minus[metric]] if row.plus_minus else [value]
    assert len(columns) == 18
    for key, values in columns.items():
        assert holds(found, values), (key, values)


HU_TABLE_2 = {
    "--data.batch_size": "16", "--early_stopping.patience": "5", "--model.optimization.learning_rate": "3e-5",
    "--model.optimization.loss_learning_rate": "0.01", "--model.optimization.weight_decay": "0.01",
    "--trainer.max_epochs": "100", "--model.optimization.warmup": "0.1", "--model.optimization.beta1": "0.9",
    "--model.optimization.beta2": "0.98", "--model.optimization.epsilon": "1e-8", "--model.max_length": "512",
    "--model.optimization.loss_momentum": "0.9", "--seed_everything": "42", "--trainer.precision": "32-true",
    "--checkpoint.monitor": "val/loss", "--checkpoint.mode": "min", "--early_stopping.monitor": "val/loss",
    "--early_stopping.mode": "min",
}  # fmt: skip
HURTADO = {
    "--early_stopping.monitor": "val/macro_f1",
    "--model.heights": "[1,2,3,4,5,6]", "--model.filters": "128", "--model.optimization.optimizer": "rmsprop",
    "--trainer.max_epochs": "30", "--model.optimization.warmup": "0.0", "--thresholds.rule.threshold": "0.5",
}  # fmt: skip
BENEDICT = {
    "--data.batch_size": "256", "--trainer.max_epochs": "100", "--early_stopping.monitor": "val/macro_f1",
}  # fmt: skip
ZHOU = {
    "--data.batch_size": "128", "--trainer.max_epochs": "101", "--early_stopping.patience": "101",
    "--early_stopping.monitor": "val/macro_f1", "--data.seed": "42",  # the same partition into folds for each fold
}  # fmt: skip


def paper_settings(name: str) -> list[tuple[str, int, dict[str, str]]]:
    """Name, seed and the last value of each word of all runs at scale paper."""
    runs = planned(load_study(name), "paper")
    return [(run.name, run.seed, dict(word.partition("=")[::2] for word in run.words)) for run in runs]


def check_paper_settings(name: str, wanted: dict[str, str]) -> list[tuple[str, int, dict[str, str]]]:
    runs = paper_settings(name)
    assert runs
    for run, _, words in runs:
        assert {key: words.get(key) for key in wanted} == wanted, run
    return runs


@pytest.mark.parametrize("name", sorted(file.stem for file in DEFINITIONS.glob("wdl-*.yaml")))
def test_at_scale_paper_bert_wdl_is_as_published(name: str) -> None:
    # costs are measured over one epoch, for which nothing is selected
    of_cost = {"--trainer.max_epochs": "1"} | dict.fromkeys(
        key for key in HU_TABLE_2 if "stopping" in key or "checkpoint" in key
    )
    check_paper_settings(name, HU_TABLE_2 | (of_cost if name == "wdl-cost" else {}))  # type: ignore[arg-type]
    study = load_study(name)
    weights = {
        words["--model.loss.weighting"]
        for run in planned(study, "paper")
        if any(set(row.labels) <= set(run.labels) for row in study.published)
        and "--model.loss.weighting" in (words := dict(word.partition("=")[::2] for word in run.words))
        and words["--model.loss.permutation"] == "sampled"
    }
    assert weights == {"softmax"} | ({"fixed"} if name == "wdl-ablation" else set())


@pytest.mark.parametrize(("name", "batches"), [("soft-losses", {"16"}), ("soft-batch", {"16", "32", "64", "128"})])
def test_at_scale_paper_metric_losses_are_as_published(name: str, batches: set[str]) -> None:
    runs = check_paper_settings(name, HURTADO)
    assert {words["--data.batch_size"] for _, _, words in runs} == batches
    assert {seed for _, seed, _ in runs} == {42, 43, 44, 45, 46}


def test_at_scale_paper_sigmoidf1_is_as_published() -> None:
    runs = check_paper_settings("sigmoidf1", BENEDICT)
    assert len({seed for _, seed, _ in runs}) == 5
    rules = load_study("sigmoidf1").rules
    assert [rules[name].arguments["threshold"] for name in ("0.5", "0.05")] == [0.5, 0.05]


@pytest.mark.parametrize("name", ["batch-selection", "batch-selection-chain", "batch-selection-parameters"])
def test_at_scale_paper_batch_selection_is_as_in_the_public_code(name: str) -> None:
    runs = [
        run
        for run in paper_settings(name)
        if name != "batch-selection-parameters" or run[2]["--data.batch_size"] == "128"
    ]
    for run, _, words in runs:
        assert {key: words.get(key) for key in ZHOU} == ZHOU, run
    assert {words["--data.fold"] for _, _, words in runs} == {"0", "1", "2", "3", "4"}


def test_batch_selection_runs_all_that_was_published() -> None:
    study = load_study("batch-selection")
    runs = {run.labels: dict(word.partition("=")[::2] for word in run.words) for run in planned(study, "paper")}
    assert {row.labels for row in study.published} <= runs.keys()
    networks, datasets = ({dict(labels)[setting] for labels in runs} for setting in ("network", "dataset"))
    assert (len(networks), len(datasets)) == (5, 16)  # two of them twice, repaired, and one with its own labels
    for dataset in datasets:
        own = [dict(labels) for labels in runs if dict(labels)["dataset"] == dataset]
        assert len(own) == 5 * 3 + 2
        assert {found["network"] for found in own if found["selection"] == "Chain"} == {"CLIF", "DELA"}
    for labels, words in runs.items():
        assert words["--trainer.callbacks.record_epochs"] == "[30,70]"
        of_yahoo = dict(labels)["dataset"].startswith("yahoo")
        assert (words.get("--data.as_published") == "true") is (of_yahoo or "words" in dict(labels)["dataset"])


def test_the_loss_of_the_model_ranks_for_the_networks_of_the_paper() -> None:
    study = load_study("batch-selection-parameters")
    ranked = [dict(run.labels) for run in planned(study, "paper") if "--trainer.callbacks.ranked_by=model" in run.words]
    assert {labels["network"] for labels in ranked} == {"C2AE", "CLIF", "DELA"}
    assert {labels["selection"] for labels in ranked} == {"pressure 2, ranked by the model's loss"}
    sources = {figure.source: figure for figure in study.figures}
    assert (sources["Fig. 6a"].scalars, sources["Fig. 6b"].scalars) == (("selection/correlation",), ("train/loss",))


@pytest.mark.parametrize("name", sorted(file.stem for file in DEFINITIONS.glob("*.yaml")))
def test_a_claim_with_a_source_is_of_a_published_table_or_figure(name: str) -> None:
    study = load_study(name)
    tables = {row.table for row in study.published}
    for claim in study.claims:
        assert not claim.source.startswith("Table") or claim.source in tables
