"""A study of tiny runs, and the records that it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

SETTINGS: dict[str, Any] = {
    "data": {"class_path": "SyntheticEmotions",
             "init_args": {"size": 32, "val_size": 16, "test_size": 16, "batch_size": 8}},
    "model": "BertWDL",
    "model.encoder": {"class_path": "FromScratch", "init_args": {"layers": 1, "width": 32, "heads": 2,
                                                                 "vocabulary": 300}},
    "model.optimization.learning_rate": 1e-2,
    "trainer": {"max_epochs": 3, "precision": "32-true", "accelerator": "cpu"},
    "figures.every_n_epochs": 0,
}  # fmt: skip

#: Runs of few seconds, of a network over the words of a text.
HEAD: dict[str, Any] = {
    "data": {"class_path": "SyntheticEmotions",
             "init_args": {"size": 64, "val_size": 16, "test_size": 16, "batch_size": 8}},
    "model": "FrozenHead",
    "model.features": {"class_path": "Tfidf", "init_args": {"width": 8, "terms": 200}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu"},
    "figures.every_n_epochs": 0,
}  # fmt: skip


def study(folder: Path, **changes: Any) -> str:
    content = {
        "title": "A study of tests",
        "paper": "none",
        "metrics": {"Jaccard": "jaccard"},
        "scales": {"tiny": {"set": SETTINGS, "seeds": [1]}},
        "varies": {"loss": {"BCE": {"model.loss": "BinaryCrossEntropy"}}},
        **changes,
    }
    path = folder / "tests.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def records(folder: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("runs/*/record.json")}
