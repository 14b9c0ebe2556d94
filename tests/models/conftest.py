"""What the tests of GTHL-Emo share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mlemo.data import Corpus
from mlemo.losses import GTHLController, HybridLoss
from mlemo.models import GTHLEmo
from mlemo.nn.encoder import FromScratch

Maker = Callable[..., Any]


@pytest.fixture
def gthl(source: FromScratch, corpus: Corpus) -> Maker:
    """Maker of a tiny GTHL-Emo with its encoder made, and weights large enough for visible differences."""

    def make(labels: Any = corpus.label_space, **settings: Any) -> GTHLEmo:
        torch.manual_seed(0)
        settings = {"loss": HybridLoss(controller=GTHLController())} | settings
        model = GTHLEmo(labels, source, label_heads=2, **settings)
        model.build(lambda: corpus.texts)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1 and not name.startswith("loss."):
                    parameter.mul_(3)
        return model

    return make
