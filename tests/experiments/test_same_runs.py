"""Command lines of the runs of studies, by which finished runs are found again, whatever form the files have."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from mlemo.experiments.runs import study_runs
from mlemo.experiments.study import PlannedRun, Study
from mlemo.experiments.study_file import DEFINITIONS, load_study

#: Runs of all scales, and the checksum of their names and words. A study that is changed on purpose has another one.
RUNS: dict[str, tuple[int, str]] = {
    "batch-selection": (2397, "e72c031a20b3f4d6"),
    "batch-selection-chain": (153, "d93724e2a2fc0d26"),
    "batch-selection-parameters": (333, "7edc73a9fdfae055"),
    "batch-selection-text": (136, "d675b0efeb860bb3"),
    "gthl-ablation": (129, "d7a80a12db46527e"),
    "gthl-gnn": (88, "96ca07b3b9190332"),
    "gthl-graphs": (148, "d2c3315955256f9a"),
    "gthl-interpret": (7, "1b5a12e694bd1ed9"),
    "gthl-main": (47, "4b80d269405413e5"),
    "gthl-weights": (214, "97f6de19862c119e"),
    "losses-2026": (255, "7abdafaf5c1f8071"),
    "selection": (64, "9b671553e7fbd1d2"),
    "sigmoidf1": (105, "c3af241b7d4e65dc"),
    "sigmoidf1-parameters": (394, "d125ef724c8751dd"),
    "soft-batch": (162, "fbaa4cfb265ada5f"),
    "soft-losses": (130, "489b64ea3c1d7227"),
    "wdl-ablation": (112, "fa29be084856cbf8"),
    "wdl-backbone": (72, "76cfea9e91077bdd"),
    "wdl-cost": (20, "c6f506d9557345f2"),
    "wdl-losses": (40, "6d6a219818751ef9"),
    "wdl-minority": (24, "8b14aade94114996"),
    "wdl-order-free": (15, "267ad9b56ba5e978"),
    "wdl-orders": (99, "ea2dbf7671f80905"),
    "wdl-weights": (96, "3793fc93de08548f"),
}
PAGE = Path(__file__).parents[2] / "docs" / "studies.md"


def planned(study: Study, scale: str) -> list[PlannedRun]:
    """The runs, with an invented value for each variable that must be given."""
    given: dict[str, str] = {}
    while True:
        try:
            return study.expand(scale, given)
        except ValueError as error:
            (name,) = re.findall(r"give --set (\w+)=VALUE", str(error))
            given[name] = f"/nowhere/{name}"


def runs_of(name: str) -> tuple[int, str]:
    study = load_study(name)
    runs = ["\n".join([run.name, *run.words]) for scale in study.scales for run in planned(study, scale)]
    return len(runs), hashlib.sha256("\n\n".join(runs).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", sorted(file.stem for file in DEFINITIONS.glob("*.yaml")))
def test_a_study_has_the_runs_that_it_had(name: str) -> None:
    assert runs_of(name) == RUNS[name]


def test_the_study_of_the_documentation_is_understood(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "my_study.yaml"
    path.write_text(text, encoding="utf-8")
    runs = list(study_runs(load_study(path), "tiny"))
    assert len(runs) == len({run.address for run in runs}) == 8
    losses = {run.labels["loss"]: run.config["model"]["init_args"]["loss"] for run in runs}
    assert losses["focal, γ 1"] == {
        "class_path": "mlemo.losses.FocalLoss",
        "init_args": {"alpha": None, "gamma": 1.0, "negative_term": True},
    }

    path.write_text(text.replace("gamma: 1", "gama: 1"), encoding="utf-8")
    line = 1 + text[: text.index("gamma")].count("\n")
    with pytest.raises(ValueError, match=r"FocalLoss has no such setting; did you mean gamma\?") as refused:
        list(study_runs(load_study(path).only({"loss": ["focal, γ 1"]}), "tiny"))
    assert str(refused.value).startswith(f"{path}:{line}: varies.loss.focal, γ 1.model.loss.gama, scale tiny, ")
