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
    "batch-selection": (2397, "5200e7ebd061b3e7"),
    "batch-selection-chain": (153, "7a3992209af8e414"),
    "batch-selection-parameters": (333, "627002d00096ae03"),
    "batch-selection-text": (136, "fc046c609acfebcd"),
    "gthl-ablation": (129, "d7e057e73dbee03d"),
    "gthl-gnn": (88, "11ef226ced4076c9"),
    "gthl-graphs": (148, "0d67bda3ed258364"),
    "gthl-interpret": (7, "600df3650189448a"),
    "gthl-main": (47, "b0185e6114f4c741"),
    "gthl-weights": (214, "d685c1521df6ee8c"),
    "losses-2026": (255, "496509ad4d877db3"),
    "selection": (64, "9c6b08934355633a"),
    "sigmoidf1": (105, "e078b026e42d54ea"),
    "sigmoidf1-parameters": (394, "12ed742b71962b8f"),
    "soft-batch": (162, "ef57a0fa8513c2d8"),
    "soft-losses": (130, "57f9f6c029f19712"),
    "wdl-ablation": (112, "d67fbf6faf39459a"),
    "wdl-backbone": (72, "3780b77f4b7f1ce1"),
    "wdl-cost": (20, "61fc16fbb5deb917"),
    "wdl-losses": (40, "a55a5fed5d48a915"),
    "wdl-minority": (24, "bb0208c121068233"),
    "wdl-order-free": (15, "7263e8d7eec50bd0"),
    "wdl-orders": (99, "e1667aa3b35348f0"),
    "wdl-weights": (96, "5fe2c0bec3a375ee"),
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
