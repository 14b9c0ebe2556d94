"""A good checkpoint, of which the tests make others."""

from __future__ import annotations

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
