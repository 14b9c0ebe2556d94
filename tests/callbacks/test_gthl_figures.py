"""Affinities and embeddings of GTHL-Emo; that both reach TensorBoard in a run is tested with the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from mlemo.callbacks import EMAWeights, GTHLFigures, gthl_figures
from mlemo.callbacks.gthl_figures import affinity_figure
from mlemo.models import GTHLEmo, Optimization
from mlemo.nn.encoder import FromScratch

Maker = Callable[..., Any]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TensorBoardLogger:
    logger = TensorBoardLogger(tmp_path)
    return logger


def test_both_matrices_are_drawn_without_their_diagonals_on_one_scale() -> None:
    known, affinity = torch.tensor([[0.7, 0.3], [0.4, 0.6]]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    figure = affinity_figure(["joy", "fear"], known, affinity)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    for image, matrix in zip(images, (known, affinity)):
        shown = torch.as_tensor(image.get_array().filled(-1.0))
        torch.testing.assert_close(shown, matrix.masked_fill(torch.eye(2) > 0, -1.0))
        assert image.get_clim() == pytest.approx((0, 0.4))


def test_a_part_of_the_labels_is_drawn_with_their_number() -> None:
    figure = affinity_figure(["joy", "fear"], torch.eye(2), torch.eye(2), of=1400)
    assert figure.get_suptitle() == "2 of 1,400 labels, those with the most gold positives"
    assert affinity_figure(["joy", "fear"], torch.eye(2), torch.eye(2), of=2).get_suptitle() == ""


def test_the_weights_drawn_are_those_that_are_validated(
    source: FromScratch, data: Maker, trainer: Maker, board: TensorBoardLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Tensor, Tensor]] = []

    def record(names: Any, known: Tensor, affinity: Tensor, of: int) -> Any:
        drawn.append((known, affinity))
        assert of == len(names)
        return affinity_figure(names, known, affinity, of)

    monkeypatch.setattr(gthl_figures, "affinity_figure", record)
    fast = Optimization(learning_rate=0.05, warmup=0.0, schedule="constant")
    model = GTHLEmo(data().label_space, source, label_heads=2, optimization=fast)
    # the callback that averages comes last: its hooks would run behind those of the figures
    callbacks = [GTHLFigures(), EMAWeights(decay=0.5)]
    trainer(callbacks=callbacks, logger=board).fit(model, datamodule=data(batch_size=4))
    assert len(drawn) == 1
    known, affinity = drawn[0]
    model.eval()
    assert model.label_transformer is not None
    # when training ends, the average is copied into the model
    expected = model.label_transformer.affinity(model.label_transformer()).exp()
    torch.testing.assert_close(affinity, expected, atol=1e-4, rtol=1e-3)
    corpus = data().corpus("train")
    counts = torch.tensor([[float((a * b).sum()) for b in corpus.labels.T] for a in corpus.labels.T]) / len(corpus)
    torch.testing.assert_close(known, (counts + 0.01) / (counts + 0.01).sum(1, keepdim=True))


def test_other_models_and_parts_left_out_are_passed_over(
    classifier: Maker, source: FromScratch, data: Maker, trainer: Maker, board: TensorBoardLogger, tmp_path: Path
) -> None:
    bare = GTHLEmo(data().label_space, source, label_layers=None, graph="none")
    for model in (classifier(), bare):
        run = trainer(callbacks=GTHLFigures(), logger=board)
        run.fit(model, datamodule=data(batch_size=8))
        assert run.global_step == 3
    assert not list(tmp_path.rglob("*.tsv"))
