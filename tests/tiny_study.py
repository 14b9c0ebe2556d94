"""A study of tiny runs, and the records that it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

WORDS = """
--data=SyntheticEmotions --data.size=32 --data.val_size=16 --data.test_size=16 --data.batch_size=8
--model=BertWDL --model.encoder=FromScratch --model.encoder.layers=1 --model.encoder.width=32
--model.encoder.heads=2 --model.encoder.vocabulary=300 --model.optimization.learning_rate=1e-2
--trainer.max_epochs=3 --trainer.precision=32-true --trainer.accelerator=cpu --figures.every_n_epochs=100
"""

#: Runs of few seconds, of a network over the words of a text.
HEAD = """
--data=SyntheticEmotions --data.size=64 --data.val_size=16 --data.test_size=16 --data.batch_size=8
--model=FrozenHead --model.features=Tfidf --model.features.width=8 --model.features.terms=200
--trainer.max_epochs=2 --trainer.accelerator=cpu --figures.every_n_epochs=100
"""


def study(folder: Path, **changes: Any) -> str:
    content = {
        "title": "A study of tests",
        "paper": "none",
        "metrics": {"Jaccard": "jaccard"},
        "scales": {"tiny": {"words": WORDS, "seeds": [1]}},
        "varies": {"loss": {"BCE": "--model.loss=BinaryCrossEntropy"}},
        **changes,
    }
    path = folder / "tests.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def records(folder: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("runs/*/record.json")}
