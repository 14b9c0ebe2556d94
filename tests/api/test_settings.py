"""Classes and objects as settings: what the command line makes of them has the arguments that they were made with."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping

from mlemo.api.settings import as_setting, words_of
from mlemo.callbacks import BatchSelection, EMAWeights, LabelShuffle, Trajectory
from mlemo.callbacks.selection_strategies import Adaptive
from mlemo.data import EmotionDataModule, GoEmotions, SyntheticEmotions
from mlemo.losses import (
    AsymmetricLoss,
    BinaryCrossEntropy,
    CompositeLoss,
    FixedWeights,
    FocalLoss,
    HybridLoss,
    Loss,
    SoftMacroF1Loss,
    WeightedDifferenceLoss,
)
from mlemo.models import BertWDL, FrozenHead, Optimization
from mlemo.nn.encoder import EncoderSource, FromScratch, Pretrained
from mlemo.nn.features import TextFeatures
from mlemo.nn.tfidf import Tfidf
from mlemo.text import TextCleaning, Tweets
from mlemo.thresholds import AtLeastOne, FixedThreshold, PerClassThreshold, ThresholdRule, TopK
from mlemo.training.resolve import resolve

OBJECTS: list[tuple[type, Any]] = [
    (Loss, BinaryCrossEntropy()),
    (Loss, BinaryCrossEntropy([0.5, 1.5])),
    (Loss, FocalLoss(0.3, negative_term=False)),
    (Loss, WeightedDifferenceLoss(order=2, weighting="softmax", permutation="exact")),
    (Loss, HybridLoss(controller=FixedWeights())),
    (Loss, SoftMacroF1Loss()),
    (
        Loss,
        CompositeLoss({"bce": BinaryCrossEntropy(), "asl": AsymmetricLoss(clip=0.1)}, weights={"bce": 2.0, "asl": 3}),
    ),
    (ThresholdRule, PerClassThreshold(metric="f1", shrinkage=0.25)),
    (ThresholdRule, AtLeastOne(TopK(2))),
    (ThresholdRule, FixedThreshold(np.float64(0.25))),
    (EncoderSource, FromScratch(layers=3, width=96)),
    (EncoderSource, Pretrained("prajjwal1/bert-tiny", dropout=0.2)),
    (TextFeatures, Tfidf(width=8, cleaning=Tweets(urls="url"))),
    (TextCleaning, Tweets(urls="url")),
    (EmotionDataModule, SyntheticEmotions(["english", "arabic"], size=64, batch_size=8)),
    (EmotionDataModule, GoEmotions(batch_size=3, seed=7)),
    (Callback, LabelShuffle(k=1)),
    (Callback, EMAWeights(decay=0.9)),
    (Callback, Trajectory()),
    (Callback, BatchSelection(Adaptive(), warmup_epochs=2)),
]


@pytest.mark.parametrize(("base", "given"), OBJECTS, ids=lambda value: type(value).__name__)
def test_the_command_line_makes_an_object_with_the_same_settings(base: type, given: Any) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "part")
    setting = as_setting(given, "part")
    made = parser.instantiate_classes(parser.parse_object({"part": setting})).part
    assert type(made) is type(given)
    # written again it has every setting; those that were left out before have their defaults in both
    again = as_setting(made, "part")
    assert again["init_args"].keys() >= setting["init_args"].keys()
    assert parser.parse_object({"part": again}) == parser.parse_object({"part": setting})


def test_a_copy_is_written_as_the_original() -> None:
    loss = FocalLoss(gamma=3.0)
    for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), copy.copy(loss)):
        assert as_setting(copied, "loss") == as_setting(loss, "loss")
    assert not loss.state_dict()


def test_an_object_stands_for_all_of_its_settings_and_a_class_merges_as_on_the_command_line() -> None:
    base = ["--model=BertWDL", "--model.loss=WeightedDifferenceLoss", "--model.loss.permutation=exact"]
    base += ["--model.loss.order=3"]

    def loss(value: Any) -> dict[str, Any]:
        config = resolve([*base, *words_of({"model.loss": value})])
        return dict(config["model"]["init_args"]["loss"]["init_args"])

    assert loss(WeightedDifferenceLoss(order=2)) | {"order": 1} == loss(WeightedDifferenceLoss())
    assert loss(WeightedDifferenceLoss(order=2))["permutation"] == "sampled"
    assert loss(WeightedDifferenceLoss)["permutation"] == "exact"
    assert loss("WeightedDifferenceLoss") == loss(WeightedDifferenceLoss)
    assert loss(partial(WeightedDifferenceLoss, order=2)) == loss(WeightedDifferenceLoss(2))
    assert loss({"init_args": {"order": 2}})["permutation"] == "exact"


def test_models_leave_their_labels_to_the_corpus_and_keep_nested_objects() -> None:
    model = BertWDL(
        ["joy", "fear"],
        FromScratch(layers=1),
        FocalLoss(gamma=1.0),
        san="none",
        optimization=Optimization(learning_rate=1e-5, optimizer=torch.optim.Adafactor),
    )
    settings = as_setting(model, "model")["init_args"]
    assert settings.keys() == {"encoder", "loss", "san", "optimization"}
    config = resolve(words_of({"model": model, "model.loss": AsymmetricLoss}))["model"]["init_args"]
    assert config["encoder"]["init_args"]["layers"] == 1
    assert config["loss"]["class_path"] == "mlemo.losses.AsymmetricLoss"
    assert config["optimization"]["learning_rate"] == 1e-5
    assert config["optimization"]["optimizer"]["class_path"].endswith("Adafactor")
    head = as_setting(FrozenHead(["joy"], features=Tfidf(width=8)), "model")
    assert head["init_args"]["features"]["init_args"]["width"] == 8


def test_plain_values() -> None:
    values = {"a": None, "b": True, "c": np.int64(3), "d": (1, 2.5), "e": "x y", "f": {"g": Path("h")}}
    here = str(Path("h").absolute())
    assert words_of(values) == ["--a=null", "--b=true", "--c=3", "--d=[1, 2.5]", "--e=x y", f'--f={{"g": "{here}"}}']
    assert words_of({"trainer.callbacks+": LabelShuffle(k=2)}) == [
        '--trainer.callbacks+={"class_path": "mlemo.callbacks.LabelShuffle", "init_args": {"k": 2}}'
    ]


class Outer:
    class Inner(FocalLoss):
        pass


def test_what_cannot_be_written_is_refused_with_the_way_out() -> None:
    class Local(FocalLoss):
        pass

    with pytest.raises(
        ValueError, match=r"trainer.callbacks: what the EarlyStopping .* functools.partial\(EarlyStoppi"
    ):
        words_of({"trainer.callbacks": [EarlyStopping("val/loss")]})
    with pytest.raises(ValueError, match=r"model.loss: .*Local is defined inside a function"):
        words_of({"model.loss": Local()})
    with pytest.raises(ValueError, match="inside a function"):
        words_of({"model.loss": lambda: None})
    with pytest.raises(ValueError, match=r"model.loss.class_weights: what the Tensor was made with"):
        words_of({"model.loss": BinaryCrossEntropy(torch.ones(2))})
    with pytest.raises(ValueError, match="expected a key such as"):
        words_of({3: 4})  # type: ignore[dict-item]
    assert words_of({"model.loss": Outer.Inner})[0].endswith("Outer.Inner")
    written = words_of({"x": partial(EarlyStopping, "val/loss", patience=2)})[1]
    assert written.endswith('"init_args": {"monitor": "val/loss", "patience": 2}}')
