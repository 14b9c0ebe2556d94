"""Tiny trained checkpoints of every text model, and their exports."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mlemo.callbacks import EMAWeights, ThresholdTuning
from mlemo.cli import main
from mlemo.models import FrozenHead, GTHLEmo, KimCNN, Linear
from mlemo.nn.encoder import Pretrained
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.lora import Lora
from mlemo.nn.tfidf import Tfidf
from mlemo.nn.words import WordVectors
from mlemo.text import Tweets

Maker = Callable[..., Any]


@pytest.fixture
def models(classifier: Maker, bert_wdl: Maker, data: Maker, source: Any, pretrained: Path) -> dict[str, Maker]:
    """Makers of an untrained model each."""
    space = data().label_space
    frozen = dict(bf16=False, cache=False)
    return {
        "classifier": lambda: classifier(cleaning=Tweets()),
        "first token": lambda: classifier(pooling="cls"),
        "prompt": lambda: bert_wdl(san="all"),
        "order-free prompt": lambda: bert_wdl(prompt="masks", prompt_order="free"),
        "graph": lambda: GTHLEmo(space, source, label_heads=2),
        "convolutions": lambda: KimCNN(space, WordVectors(width=16), filters=4),
        "frozen encoder": lambda: FrozenHead(space, FrozenEncoder(str(pretrained), **frozen)),
        "tf-idf": lambda: Linear(space, Tfidf(width=None), regularization=1.0),
        "adapters": lambda: _seeded(classifier, encoder=Lora(Pretrained(str(pretrained)), r=2)),
    }


def _seeded(maker: Maker, **settings: Any) -> Any:
    torch.manual_seed(0)
    return maker(**settings)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs, which are trained once."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def trained(models: dict[str, Maker], data: Maker, trainer: Maker, tmp_path: Path, kept: Path) -> Callable[[str], Path]:
    """Copy of a run of two short epochs with averaged weights and fitted thresholds: ``trained("graph")``."""

    def copy(name: str) -> Path:
        if not (kept / name).exists():
            run = trainer(callbacks=[ThresholdTuning(), EMAWeights(decay=0.5)], max_epochs=2)
            run.fit(models[name](), datamodule=data(batch_size=8))
            run.save_checkpoint(kept / name / "checkpoints" / "best.ckpt")
        return Path(shutil.copytree(kept / name, tmp_path / "run"))

    return copy


@pytest.fixture
def exported(trained: Callable[[str], Path], kept: Path, tmp_path: Path) -> Path:
    """Copy of the export of a plain classifier; the run is beside it."""
    run = trained("classifier")
    if not (kept / "exported").exists():
        main(["export", str(run), "--output", str(kept / "exported")])
    return Path(shutil.copytree(kept / "exported", tmp_path / "exported"))
