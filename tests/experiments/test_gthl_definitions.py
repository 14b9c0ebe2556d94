"""The studies of GTHL-Emo: what their runs are, and that published numbers and footnotes are those of the paper."""

from __future__ import annotations

import os
import re
from collections import Counter
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from mlemo.experiments.published import PublishedRow
from mlemo.experiments.runs import address_of
from mlemo.experiments.study import PlannedRun, Study
from mlemo.experiments.study_file import load_study
from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics
from mlemo.training.resolve import resolve

SEMEVAL, EXAAEC, ARQ = "SemEval-2018-Ec-Ar", "ExaAEC", "SemEval-2025-Arq"
CORPORA = (SEMEVAL, EXAAEC, ARQ)
F_SCORES = ("Jaccard", "Micro-F1", "Macro-F1")
FULL = {
    "gthl-main": {"system": "GTHL-Emo"},
    "gthl-ablation": {"system": "GTHL-Emo"},
    "gthl-graphs": {"system": "GTHL-Emo"},
    "gthl-weights": {"loss": "0.10, 0.10, 0.10, α 0.95"},
    "gthl-gnn": {"network": "GraphSAGE", "depth": "2"},
    "gthl-interpret": {},
}
#: Settings of the controller, which fixed weights do not have.
FIXED = {f"loss.controller.{key}": None for key in ("class_path", "low", "high", "smoothing")}
EXPERIMENTS = Path(__file__).parents[2] / "configs" / "experiment"
PAPER_FOLDER = os.environ.get("MLEMO_PAPERS")


@cache
def study_of(name: str) -> Study:
    return load_study(name)


@cache
def runs(name: str, scale: str) -> list[PlannedRun]:
    wanted = {} if scale == "tiny" else {"semeval2018_dir": "semeval", "exaaec_dir": "exaaec"}
    words = study_of(name).path.read_text(encoding="utf-8")
    return study_of(name).expand(scale, {key: value for key, value in wanted.items() if key in words})


def run_of(name: str, scale: str, labels: dict[str, str]) -> PlannedRun:
    found = [run for run in runs(name, scale) if run.seed == 42 and labels.items() <= dict(run.labels).items()]
    assert len(found) == 1, (name, scale, labels)
    return found[0]


resolved = cache(resolve)  # the same words, such as those of the full model, are read once


def config_of(name: str, scale: str, **labels: str) -> dict[str, Any]:
    return deepcopy(resolved(run_of(name, scale, labels).words))


def model_of(name: str, scale: str, **labels: str) -> dict[str, Any]:
    """Settings of the model, flat."""

    def flat(value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {key: value}
        return {k: v for part, item in value.items() for k, v in flat(item, f"{key}.{part}").items()}

    model = flat(config_of(name, scale, **labels)["model"], "")
    return {key.replace(".init_args", "").lstrip("."): value for key, value in model.items()}


@cache
def published(name: str, table: str, metric: str = "") -> dict[tuple[str, ...], PublishedRow]:
    rows = [row for row in study_of(name).published if row.table == table and (not metric or metric in row.values)]
    return {(*(label for _, label in row.labels), *([row.of_class] if row.of_class else [])): row for row in rows}


@pytest.mark.parametrize(
    ("name", "tables", "figures", "counts"),
    [
        (
            "gthl-main",
            {"Table 3": 14, "Table 4": 22, "Table 5": 6, "Table 6": 60, "Table 7": 5},
            ["point", "class_gain", "class_gain"],
            (2, 18, 27),
        ),
        ("gthl-ablation", {"Table 8": 21 + 20}, ["point", "point"], (3, 63, 63)),
        ("gthl-graphs", {"Table 9": 15 + 15, "Table 11": 11 + 11}, ["point", "point", "curve"], (4, 72, 72)),
        ("gthl-weights", {"Table 10": 9}, [*["point"] * 3, *["line"] * 3, "curve", "curve"], (4, 105, 105)),
        ("gthl-gnn", {"Table 8": 3}, ["point", "point", "point", "line"], (4, 42, 42)),
        ("gthl-interpret", {"Table 3": 1}, [], (1, 3, 3)),
    ],
)
def test_rows_figures_and_runs(
    name: str, tables: dict[str, int], figures: list[str], counts: tuple[int, int, int]
) -> None:
    study = study_of(name)
    assert Counter(row.table for row in study.published) == tables
    assert [figure.kind for figure in study.figures] == figures
    assert tuple(len(runs(name, scale)) for scale in ("tiny", "small", "paper")) == counts
    assert all(row.values for row in study.published)
    metrics = MultiLabelMetrics(LabelSpace(("a", "b")))
    metrics.update(torch.tensor([[0.1, 0.9], [0.8, 0.3]]), torch.eye(2))
    costs = {"cost.parameters", "cost.seconds_per_epoch"}
    assert {key.removeprefix("tuned_") for key in study.metrics.values()} - costs <= set(metrics.compute())
    assert {key.removeprefix("tuned_") for key in study.class_metrics.values()} <= set(metrics.per_class())
    assert not re.search(r"(?<![\w}])/\w+/", study.path.read_text(encoding="utf-8")), "a path of somebody's machine"


@pytest.mark.parametrize("name", FULL)
def test_lines_run_from_small_to_large_and_tables_begin_with_what_others_are_compared_with(name: str) -> None:
    study = study_of(name)
    for figure in study.figures:
        if figure.kind == "line":
            shown = figure.where.get(figure.across, tuple(study.varies[figure.across]))
            order = [label for label in study.varies[figure.across] if label in shown]
            values = [float(label.split()[-1]) for label in order]
            assert len(values) >= 4
            assert values == sorted(set(values)), figure
    baseline = {"system": "Plain fine-tuning"} if name == "gthl-main" else FULL[name] | {"depth": "1"}
    assert all(next(iter(labels)) == baseline[key] for key, labels in study.varies.items() if key != "corpus")


@pytest.mark.parametrize("name", FULL)
def test_seeds_share_the_rows_that_are_tested(name: str) -> None:
    """The split of ExaAEC is drawn with data.seed; official splits leave it free for the order of the batches."""
    for run in (*runs(name, "small"), *runs(name, "paper")):
        seeds = [word for word in run.words if word.startswith("--data.seed=")]
        assert seeds == [f"--data.seed={42 if ('corpus', EXAAEC) in run.labels else run.seed}"]
        assert run.words[-1] == f"--seed_everything={run.seed}"


@pytest.mark.parametrize("scale", ["tiny", "small"])
def test_the_full_model_is_one_run_for_all_studies(scale: str) -> None:
    corpus = "synthetic" if scale == "tiny" else SEMEVAL
    configs = [config_of(name, scale, corpus=corpus, **labels) for name, labels in FULL.items()]
    assert len({address_of(config, {}) for config in configs}) == 1
    data = configs[0]["data"]
    assert data["init_args"]["language"] == "arabic"
    assert data["class_path"].endswith("SyntheticEmotions" if scale == "tiny" else "SemEval2018")


def test_every_tiny_run_is_a_command_line() -> None:
    addresses = {address_of(resolved(run.words), {}) for name in FULL for run in runs(name, "tiny")}
    # the full model (of all studies), plain fine-tuning, two ablations, three graphs, three losses, two
    # networks and a depth
    assert len(addresses) == 1 + 1 + 2 + 3 + 3 + 3


@pytest.mark.parametrize(
    ("corpus", "experiment"),
    [
        (SEMEVAL, "gthl_emo_semeval2018_arabic"),
        (EXAAEC, "gthl_emo_exaaec"),
        (ARQ, "gthl_emo_semeval2025_algerian"),
    ],
)
def test_at_scale_paper_runs_have_the_published_settings(corpus: str, experiment: str) -> None:
    found = config_of("gthl-ablation", "paper", corpus=corpus, system="GTHL-Emo")
    expected = resolve(["--config", str(EXPERIMENTS / f"{experiment}.yaml")])
    for config in (found, expected):
        config["data"]["init_args"].pop("data_dir")
        config["trainer"].pop("devices")
    assert found["trainer"].pop("precision") == "32-true"  # on any machine, so that all can share a study
    expected["trainer"].pop("precision")  # the best that this machine has
    for key in ("seed_everything", "data", "model", "trainer", "thresholds", "early_stopping", "checkpoint"):
        assert found[key] == expected[key], key


@pytest.mark.parametrize(
    ("name", "labels", "changed"),
    [
        ("gthl-ablation", {"system": "w/o GraphSAGE"}, {"graph": "none"}),
        ("gthl-ablation", {"system": "w/o Label Transformer"}, {"label_layers": None}),
        ("gthl-ablation", {"system": "w/o Correlation Alignment"}, {"loss.correlation": 0}),
        ("gthl-ablation", {"system": "w/o Ranking Loss"}, {"loss.ranking": 0}),
        ("gthl-ablation", {"system": "w/o Imbalance Loss"}, {"loss.focal": 0}),
        ("gthl-ablation", {"system": "w/o Adaptive Weights"}, FIXED),
        ("gthl-graphs", {"system": "Cosine Only"}, {"graph": "cosine"}),
        ("gthl-graphs", {"system": "Jaccard (Train Only)"}, {"graph": "jaccard"}),
        ("gthl-graphs", {"system": "kNN Graph"}, {"graph": "knn"}),
        ("gthl-graphs", {"system": "Random Graph"}, {"graph": "random"}),
        (
            "gthl-weights",
            {"loss": "0.05, 0.05, 0.05, α 0.90"},
            {"loss.focal": 0.05, "loss.ranking": 0.05, "loss.correlation": 0.05, "loss.controller.smoothing": 0.9},
        ),
        ("gthl-weights", {"loss": "0.10, 0.10, 0.05, α 0.95"}, {"loss.ranking": 0.05}),
        (
            "gthl-weights",
            {"loss": "GradNorm"},
            {**FIXED, "loss.controller.class_path": "mlemo.losses.GradNorm", "loss.controller.alpha": 1.5},
        ),
        ("gthl-weights", {"loss": "with class weights"}, {"loss.class_weights": "balanced"}),
        ("gthl-weights", {"loss": "BCE + graph"}, {"loss.focal": 0, "loss.ranking": 0}),
        ("gthl-weights", {"loss": "fixed, graph 0.50"}, {**FIXED, "loss.correlation": 0.5}),
        ("gthl-gnn", {"network": "GAT", "depth": "2"}, {"network": "gat"}),
        ("gthl-gnn", {"network": "GraphSAGE", "depth": "3"}, {"depth": 3}),
    ],
)
def test_a_row_differs_from_the_full_model_in_what_it_says(
    name: str, labels: dict[str, str], changed: dict[str, Any]
) -> None:
    full = model_of(name, "small", corpus=SEMEVAL, **FULL[name])
    found = model_of(name, "small", corpus=SEMEVAL, **labels)
    keys = found.keys() | full.keys()
    assert {key: found.get(key) for key in keys if found.get(key) != full.get(key)} == changed


def test_plain_fine_tuning_keeps_everything_that_is_not_of_gthl_emo() -> None:
    full = config_of("gthl-main", "paper", corpus=EXAAEC, system="GTHL-Emo")
    for system, encoder in (("Plain fine-tuning", "UBC-NLP/MARBERT"), ("asafaya-BERT", "asafaya/bert-base-arabic")):
        plain = config_of("gthl-main", "paper", corpus=EXAAEC, system=system)
        assert plain["model"]["class_path"].endswith("TransformerClassifier")
        settings = plain["model"]["init_args"]
        assert settings["encoder"] == encoder
        assert settings["loss"]["class_path"].endswith("BinaryCrossEntropy")
        for key in ("dropout", "max_length", "optimization", "cleaning"):
            assert settings[key] == full["model"]["init_args"][key], key
        assert plain["trainer"].pop("callbacks") is None
        assert plain["trainer"].items() <= full["trainer"].items()
        assert plain["data"] == full["data"]


@pytest.mark.parametrize(("scale", "corpus"), [("tiny", "synthetic"), ("small", EXAAEC)])
def test_below_scale_paper_the_baseline_and_the_full_model_differ_in_the_model_alone(scale: str, corpus: str) -> None:
    full = config_of("gthl-main", scale, corpus=corpus, system="GTHL-Emo")
    plain = config_of("gthl-main", scale, corpus=corpus, system="Plain fine-tuning")
    (average,) = plain["trainer"]["callbacks"]
    assert average["class_path"].endswith("EMAWeights")
    for key in plain.keys() - {"model"}:
        assert plain[key] == full[key], key
    for key, value in plain["model"]["init_args"].items():
        assert value == full["model"]["init_args"].get(key, value) or key == "loss", key


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        # what is printed differently in different places
        (("gthl-main", "gthl-ablation", "gthl-graphs", "gthl-weights", "gthl-gnn", "gthl-interpret"), "60.83 60.48"),
        (("gthl-main", "gthl-ablation", "gthl-graphs", "gthl-weights", "gthl-gnn"), "41.83 / 58.52 41.47 / 56.78"),
        (tuple(FULL), "fewer than three tokens|sizes of its splits are the official ones"),
        (("gthl-main", "gthl-ablation", "gthl-graphs", "gthl-weights", "gthl-gnn"), "trust|other|acceptance|neutral"),
        (("gthl-ablation",), "not the best 59.15 58.70"),
        (("gthl-ablation",), "1.10, 2.30, 1.13 0.69, 2.46, 1.71"),
        (("gthl-graphs",), "kNN|56.08|54.71|slightly lower"),
        (("gthl-graphs",), "1.18|768"),
        (("gthl-main",), "15.30|17.40|swapped or misread"),
        (("gthl-main",), "67.40 68.71"),
        (("gthl-main",), "5.34 3.35"),
        (("gthl-weights",), "61.10 60.48"),
        (("gthl-interpret",), "0.83 diagonal"),
        (("gthl-interpret",), "E5 false positive"),
        # what our figures show otherwise than the paper's
        (("gthl-interpret",), "Fig. 8|one label|sum to 1 over a text"),
        (("gthl-weights",), "Figures 2 and 3 from validation|from test|0.10"),
        (("gthl-weights",), "Figure 2|AP|MAP"),
        (("gthl-weights",), "Figure 4|development|steps of"),
        (("gthl-gnn",), "Figure 5|nor the depth|of the test texts"),
    ],
)
def test_the_papers_inconsistencies_are_footnoted(names: tuple[str, ...], numbers: str) -> None:
    parts = numbers.split("|") if "|" in numbers else re.findall(r"[\d.]+(?: / [\d.]+)?|[A-Za-z]\w*", numbers)
    for name in names:
        assert any(all(part in note for part in parts) for note in study_of(name).notes), (name, parts)


def test_footnoted_sums_are_those_of_the_tables() -> None:
    """What a footnote says of a table follows from the rows that stand in the study."""
    means: dict[str, list[float]] = {}
    for (_, system, _), row in published("gthl-main", "Table 6").items():
        means.setdefault(system, []).append(row.values["F1"])
    table_5 = published("gthl-main", "Table 5")
    stated = {"GTHL-Emo": 67.40, "Qarib-BERT": 58.36, "asafaya-BERT": 57.46}
    for system, values in means.items():
        expected = stated.get(system, table_5[EXAAEC, system].values["Macro-F1"])
        assert sum(values) / len(values) == pytest.approx(expected, abs=0.006), system
    table_3, notes = published("gthl-main", "Table 3"), " ".join(load_study("gthl-main").notes)
    for system in ("Samy et al. (2018)", "Mansy et al. (2022)"):
        values = table_3[SEMEVAL, system].values
        assert f"{values['Macro-F1'] - values['Micro-F1']:.2f}" in notes
    table_8 = published("gthl-ablation", "Table 8", "Jaccard")
    for system, drops in (("w/o GraphSAGE", (1.10, 2.30, 1.13)), ("w/o Ranking Loss", (0.69, 2.46, 1.71))):
        found = [
            table_8[corpus, "GTHL-Emo"].values["Jaccard"] - table_8[corpus, system].values["Jaccard"]
            for corpus in CORPORA
        ]
        assert found == pytest.approx(drops)


# the paper's own text ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines() -> list[str]:
    if PAPER_FOLDER is None:
        pytest.skip("MLEMO_PAPERS names no folder with the texts of the papers")
    (file,) = Path(PAPER_FOLDER).glob("001_*.txt")
    return file.read_text(encoding="utf-8").splitlines()


def printed(name: str, table: str, metrics: tuple[str, ...], labels: tuple[str, ...]) -> str:
    """The numbers of a row as the text has them: one behind the other, without blanks."""
    found = ""
    for metric in metrics:
        row = published(name, table, metric).get(labels)
        if row is not None and metric in row.values:
            found += f"{row.values[metric]:.{4 if metric == 'Hamming loss' else 2}f}"
    return found


def test_one_number_is_missing_in_table_8() -> None:
    assert (SEMEVAL, "w/o GraphSAGE") not in published("gthl-ablation", "Table 8", "Hamming loss")


@pytest.mark.parametrize(("name", "table"), [("gthl-ablation", "Table 8"), ("gthl-graphs", "Table 9")])
def test_ablations_and_graphs_stand_in_the_paper(name: str, table: str, lines: list[str]) -> None:
    for system in {labels[1] for labels in published(name, table)}:
        row = "".join(printed(name, table, (*F_SCORES, "Hamming loss"), (corpus, system)) for corpus in CORPORA)
        start = "GTHL-Emo (" if system == "GTHL-Emo" else system
        assert [line for line in lines if line.startswith(start) and line.endswith(f"{row}")], (system, row)


def test_other_tables_stand_in_the_paper(lines: list[str]) -> None:
    for labels in published("gthl-main", "Table 3"):
        row = printed("gthl-main", "Table 3", F_SCORES, labels)
        author = re.split(r" (?:and|et al|Team)", labels[1])[0]
        assert [line for line in lines if author in line and re.search(rf"[\])]{re.escape(row)}$", line)], labels
    for name in {labels[2] for labels in published("gthl-main", "Table 4")}:
        systems = ("GTHL-Emo", "Elfaik and Nfaoui (2023)")
        row = "".join(printed("gthl-main", "Table 4", ("P", "R", "F1"), (SEMEVAL, s, name)) for s in systems)
        assert name + row in lines
    order = ("anger", "anticipation", "disgust", "fear", "joy", "love", "acceptance", "sadness", "surprise", "neutral")
    for system in {labels[1] for labels in published("gthl-main", "Table 6")}:
        row = "".join(printed("gthl-main", "Table 6", ("F1",), (EXAAEC, system, name)) for name in order)
        printed_name = {"MARBERT": "MARBERT (base)", "GTHL-Emo": "GTHL-Emo (Proposed)"}.get(system, system)
        assert printed_name + row in lines
        row = printed("gthl-main", "Table 5", F_SCORES, (EXAAEC, system))
        if system == "GTHL-Emo":
            assert row == "65.9970.7268.71"
            assert any("65.99 ( +" in line and ")70.72 ( +" in line and ")68.71 ( +" in line for line in lines)
        else:
            assert system + row in lines
    for (_, system), published_row in published("gthl-main", "Table 7").items():
        value = published_row.values["Macro-F1"]
        form = rf"{system} \[\d+\]{value:.1f}%"
        if system == "GTHL-Emo":
            form = rf"GTHL-Emo \(Proposed\){value:.2f} \("
        assert any(re.match(form, line) for line in lines), system
    for loss in {labels[1] for labels in published("gthl-weights", "Table 10")}:
        weights = loss.replace(", α ", "").replace(", ", "")
        row = "".join(printed("gthl-weights", "Table 10", F_SCORES, (corpus, loss)) for corpus in CORPORA)
        assert weights + row in lines
    for labels, published_row in published("gthl-graphs", "Table 11", "Parameters").items():
        values = published_row.values
        score = published("gthl-graphs", "Table 11", "Macro-F1")[labels].values["Macro-F1"]
        form = rf"{values['Parameters'] / 1e6:.2f}0[56]\.00{score:.2f}{values['Seconds per epoch']:.2f}$"
        start = labels[1].removesuffix(" Only") if labels[1] == "Cosine Only" else labels[1]
        assert any(start in line and re.search(form, line) for line in lines), labels
    row = printed("gthl-interpret", "Table 3", F_SCORES, (SEMEVAL,))
    assert f"GTHL-Emo (Proposed){row}" in lines
