"""A good checkpoint, of which the tests make others; a tiny finished run; and settings for more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlemo.cli import main

SIZES = ["--data.size=24", "--data.val_size=12", "--data.test_size=12"]
ENCODER = ["--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=16"]
ENCODER += ["--model.encoder.heads=2", "--model.encoder.vocabulary=200"]
TRAINER = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.precision=32-true"]


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a tiny classifier."""
    folder = tmp_path_factory.mktemp("good")
    place = f"--trainer.logger.save_dir={folder}"
    main(["fit", *SIZES, "--model=TransformerClassifier", *ENCODER, *TRAINER, place, "--test_after_fit=false"])
    return folder / "version_0" / "checkpoints" / "best.ckpt"


WORDS = [
    *["--data=SyntheticEmotions", "--data.size=32", "--data.val_size=16", "--data.test_size=16"],
    *["--model=BertWDL", "--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=32"],
    *["--model.encoder.heads=2", "--model.encoder.vocabulary=300", "--model.optimization.learning_rate=1e-2"],
    *[*TRAINER, "--results.resamples=0", "--trainer.num_sanity_val_steps=0"],
    *["--trainer.logger=CSVLogger", "--trainer.logger.name="],  # draws nothing
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run named ``first``, which no test changes."""
    root = tmp_path_factory.mktemp("made")
    main(["fit", *WORDS, f"--trainer.logger.save_dir={root}", "--name=first"])
    return root / "first"


@pytest.fixture
def finished(made: Path, tmp_path: Path) -> Path:
    """A copy of it, ``first`` in the temporary folder of the test."""
    return Path(shutil.copytree(made, tmp_path / "first"))


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """``fit`` with the settings of the finished run, into folders of the test."""
    return ["fit", *WORDS, f"--trainer.logger.save_dir={tmp_path}", "--test_after_fit=false"]
