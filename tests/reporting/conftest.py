"""Folders of studies whose runs are invented: predictions at random, no training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
from torch.utils.tensorboard import SummaryWriter

from mlemo.experiments.engine import run_folder_of
from mlemo.experiments.records import FAILURE
from mlemo.experiments.study import Study
from mlemo.experiments.study_file import load_study
from mlemo.labels import LabelSpace
from mlemo.runs.predictions import Predictions, write_predictions

NAMES = ("joy", "anger", "fear", "trust")
POSITIVES = (160, 90, 60, 8)  # in training: the last is a minority
RATE = (0.5, 0.4, 0.3, 0.15)
Bits = NDArray[np.bool_]


class InventedRun:
    """A run's folder with everything that a report reads; its numbers by scikit-learn."""

    def __init__(self, folder: Path, labels: dict[str, str], seed: int, errors: float, rows: int, fold: int) -> None:
        self.folder, self.labels, self.seed = folder, labels, seed
        folder.mkdir(parents=True)
        self.gold = np.random.default_rng([7, fold]).random((rows, len(NAMES))) < RATE
        noise = np.random.default_rng([seed, len(folder.name), *map(ord, folder.name)])
        flipped = noise.random(self.gold.shape) < errors
        confidence = noise.random(self.gold.shape)
        self.probabilities = np.where(self.gold ^ flipped, 0.5 + confidence / 2, confidence / 2).astype(np.float32)
        self.probabilities[self.probabilities == 0.5] = 0.51
        self.decided = self.probabilities >= 0.3
        self.at_half = self.probabilities >= 0.5
        for split in ("val", "test"):
            self.write_predictions(split)
        self.results = {
            "rule": "0.3 for all",
            "loss": 0.25 + seed / 1000,
            **{f"{average}_{name}": float(score(self.gold, self.at_half, average=average, zero_division=0.0))
               for average in ("macro", "micro")
               for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score))},
            "jaccard": float(jaccard_score(self.gold, self.at_half, average="samples", zero_division=1.0)),
            "tuned_macro_f1": float(f1_score(self.gold, self.decided, average="macro", zero_division=0.0)),
        }  # fmt: skip
        self.f1 = f1_score(self.gold, self.at_half, average=None, zero_division=0.0)
        classes = {"label": NAMES, "training_positives": POSITIVES, "support": self.gold.sum(0), "f1": self.f1}
        pd.DataFrame(classes).to_csv(folder / "per_class_test.csv", index=False)
        self.write_record()

    def write_predictions(self, split: str) -> None:
        gold, decided, probabilities = map(torch.from_numpy, (self.gold, self.decided, self.probabilities))
        path, ids = self.folder / f"predictions_{split}.csv", [f"{split}-{row}" for row in range(len(gold))]
        space, mask = LabelSpace(tuple(NAMES)), torch.ones_like(gold)
        write_predictions(Predictions(path, space, ids, gold, mask, decided, probabilities))

    def write_record(self, **changes: Any) -> None:
        (self.folder / "results_test.json").write_text(
            json.dumps(self.results | {"intervals": {"macro_f1": [0.1, 0.9]}})
        )
        record = {
            "address": self.folder.name,
            "seed": self.seed,
            "results": {"val": self.results, "test": self.results},
            "config": {
                "seed_everything": self.seed,
                "data": {
                    "class_path": "mlemo.data.TextFiles",
                    "init_args": {"data_dir": "/some/where/corpus", "kind": "a"},
                },
                "model": {"class_path": "mlemo.models.BertWDL", "init_args": {"encoder": "/some/where/MiniLM"}},
                "trainer": {"max_epochs": 4, "precision": "32-true"},
                "checkpoint": {"monitor": "val/macro_ap"},
            },
            "global_batch": 16,
            "cost": {"parameters": 109_486_092, "seconds_per_epoch": 12.5 + self.seed},
            "seconds": 100.0 + self.seed,
            "resumed": self.seed == 2,
            "finished": "2026-01-02T03:04:05+00:00",
            "peak_memory": 2**30,
            "hardware": {"processor": "Some CPU", "cores": 8, "threads": 4, "gpu": None, "platform": "Linux"},
            "versions": {"python": "3.12.1", "torch": "2.9.0"},
            "code": "sha256:" + "ef" * 32,
            "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "changed": self.seed == 1},
            "data": {"/some/where/corpus": "sha256:" + "ab" * 32},
            **changes,
        }
        (self.folder / "record.json").write_text(json.dumps(record), encoding="utf-8")

    def write_events(self) -> None:
        """Two epochs of five steps, then a validation of the best checkpoint in a file of its own."""
        with SummaryWriter(str(self.folder)) as writer:
            for step in range(10):
                writer.add_scalar("epoch", step // 5, step)
                writer.add_scalar("train/loss", 1 / (step + 1 + self.seed), step)
                writer.add_scalar("weight/a", 1 + step, step)
            for step, value in ((4, 0.2), (9, 0.4)):
                writer.add_scalar("val/macro_f1", value + self.seed / 100, step)
        with SummaryWriter(str(self.folder), filename_suffix=".1") as writer:
            writer.add_scalar("val/macro_f1", 0.9, 10)
            writer.add_scalar("epoch", 2, 10)


class InventedStudy:
    """A study and its folder.

    Args:
        path: Where the study's file and the folder are made.
        changes: Keys of the study's file.
    """

    def __init__(self, path: Path, **changes: Any) -> None:
        content = {
            "title": "Which loss?",
            "paper": "Nobody (2020)",
            "metrics": {"F1": "macro_f1"},
            "scales": {"tiny": {"set": {"none": 1}, "seeds": [1, 2, 3]}},
            "varies": {"loss": {"BCE": {"a": 1}, "Focal": {"b": 1}}},
            **changes,
        }
        self.file, self.folder = path / "invented.yaml", path / "studies"
        self.file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
        self.study: Study = load_study(self.file)
        self.runs: dict[tuple[str, ...], InventedRun] = {}
        self.listed: list[dict[str, Any]] = []
        self.variables: dict[str, str] = {}
        self.folder.mkdir()

    def run(self, *labels: str, seed: int, errors: float = 0.2, rows: int = 60, fold: int = 0) -> InventedRun:
        """A finished run."""
        named = dict(zip(self.study.varies, labels))
        place = self.folder / "runs" / self.plan(*labels, seed=seed)
        self.runs[*labels, str(seed)] = InventedRun(place, named, seed, errors, rows, fold)
        return self.runs[*labels, str(seed)]

    def plan(self, *labels: str, seed: int) -> str:
        """A run that is only listed; gives its address."""
        address = "r" + "-".join([*labels, str(seed)])
        named = dict(zip(self.study.varies, labels))
        planned = self.study.expand("tiny", self.variables)
        words = [run.words for run in planned if dict(run.labels) == named and run.seed == seed]
        self.listed.append({"labels": named, "seed": seed, "address": address, "words": words[0] if words else []})
        (self.folder / f"{self.study.name}_tiny.json").write_text(json.dumps(self.listed), encoding="utf-8")
        return address

    def fail(self, address: str, text: str) -> None:
        """A run that is listed has failed."""
        folder = run_folder_of(self.folder, address)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).write_text(text, encoding="utf-8")

    def values(self, *labels: str, key: str = "macro_f1") -> list[float]:
        """A metric of the finished runs of these labels."""
        return [run.results[key] for name, run in self.runs.items() if name[:-1] == labels]  # type: ignore[misc]

    def outputs(self, *labels: str) -> tuple[list[Bits], Bits]:
        """Decisions at 0.5 of these runs, and the gold labels of the last."""
        own: Sequence[InventedRun] = [run for name, run in self.runs.items() if name[:-1] == labels]
        return [run.at_half for run in own], own[-1].gold


@pytest.fixture
def invented(tmp_path: Path) -> Callable[..., InventedStudy]:
    """Make a study of invented runs, with any keys of its file."""
    return lambda **changes: InventedStudy(tmp_path, **changes)


@pytest.fixture
def two_losses(invented: Callable[..., InventedStudy]) -> InventedStudy:
    """Two losses, three seeds each, all finished, the second clearly better; published in percent."""
    study = invented(
        metrics={"F1": "macro_f1", "tuned F1": "tuned_macro_f1", "Parameters": "cost.parameters"},
        class_metrics={"F": "f1"},
        published=[
            {
                "table": "Table 2",
                "unit": "percent",
                "rows": [
                    {"loss": "BCE", "F1": 51.25, "plus_minus": {"F1": 1.5}, "marked": ["F1"]},
                    {"loss": "Focal", "class": "anger", "F": 40.0},
                    {"loss": "Focal", "class": "macro average", "F": 45.5},
                ],
            }
        ],
        notes=["The paper prints 50 % & more_of it."],
    )
    for loss, errors in (("BCE", 0.3), ("Focal", 0.1)):
        for seed in (1, 2, 3):
            study.run(loss, seed=seed, errors=errors)
    return study
