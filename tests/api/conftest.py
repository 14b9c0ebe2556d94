"""An ablation of tiny runs, trained once for all tests that read it."""

from __future__ import annotations

from typing import Any

import pytest

from mlemo.api import Ablation, ablate

#: Runs of few seconds, of a network over the words of a text.
BASE: dict[str, Any] = {
    "data": {
        "class_path": "SyntheticEmotions",
        "init_args": {"size": 64, "val_size": 50, "test_size": 200, "batch_size": 8},
    },
    "model": {
        "class_path": "FrozenHead",
        "init_args": {"features": {"class_path": "Tfidf", "init_args": {"width": 8, "terms": 200}}},
    },
    # pictures for TensorBoard take longer to draw than all else
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "logger": "CSVLogger"},
}
#: The same as words of the command line.
WORDS = (
    "--data=SyntheticEmotions --data.size=64 --data.val_size=50 --data.test_size=200 --data.batch_size=8 "
    "--model=FrozenHead --model.features=Tfidf --model.features.width=8 --model.features.terms=200 "
    "--trainer.max_epochs=2 --trainer.accelerator=cpu --trainer.logger=CSVLogger"
)
VARIANTS = {
    "BCE": {"model.loss": "BinaryCrossEntropy"},
    "WDL1": {"model.loss": "WeightedDifferenceLoss", "model.loss.permutation": "exact"},
}


@pytest.fixture(scope="session")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Ablation:
    """Two finished variants with two seeds each."""
    made = ablate(BASE, VARIANTS, seeds=2, folder=tmp_path_factory.mktemp("ablation"))
    made.run(workers=2)
    return made
