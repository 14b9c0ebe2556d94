"""What merges and what replaces between files and words of the command line, as in docs/configuration.md."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from mlemo.training.parser import fill_in

WDL = """
model:
  class_path: BertWDL
  init_args:
    prompt: words
    loss: {class_path: WeightedDifferenceLoss, init_args: {order: 2, weighting: softmax}}
    optimization: {learning_rate: 0.1, beta2: 0.9}
trainer:
  max_epochs: 3
  callbacks: [{class_path: LabelShuffle, init_args: {k: 3}}]
"""
FOCAL = """
model:
  class_path: KimCNN
  init_args:
    heights: [1, 2]
    loss: {class_path: FocalLoss, init_args: {gamma: 5.0, negative_term: false}}
"""
COMPOSITE = """
model:
  class_path: TransformerClassifier
  init_args:
    loss:
      class_path: CompositeLoss
      init_args:
        terms: {bce: {class_path: BinaryCrossEntropy}, asl: {class_path: AsymmetricLoss}}
        weights: {bce: 2, asl: 3}
"""
LATER = """
model: {init_args: {loss: {init_args: {order: 1}}, optimization: {learning_rate: 0.2}}}
trainer: {max_epochs: 4, callbacks: [{class_path: EMAWeights}]}
thresholds: {rule: {class_path: PerClassThreshold}}
"""
SAME_CLASS = "model: {init_args: {loss: {class_path: WeightedDifferenceLoss, init_args: {order: 1}}}}"
OTHER_CLASS = "model: {init_args: {heights: [3], loss: {class_path: AdaptiveFocalLoss}}}"
NAMES = "model: {init_args: {loss: {init_args: {terms: {bce: {class_path: FocalLoss}}, weights: {bce: 7}}}}}"
APPEND = "trainer: {callbacks+: [{class_path: EMAWeights}]}"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            [WDL, LATER],
            {
                "trainer.max_epochs": 4,
                "model.loss.order": 1,
                "model.loss.weighting": "softmax",
                "model.optimization.learning_rate": 0.2,
                "model.optimization.beta2": 0.9,
                "trainer.callbacks": ["EMAWeights"],
                "thresholds.rule": "PerClassThreshold",
                "thresholds.rule.cross_fit": 0,
            },
        ),
        ([WDL, SAME_CLASS], {"model.loss.order": 1, "model.loss.weighting": "softmax"}),
        (
            [FOCAL, OTHER_CLASS],
            {
                "model.loss": "AdaptiveFocalLoss",
                "model.loss.negative_term": False,
                "model.loss.gamma": None,
                "model.heights": [3],
            },
        ),
        (
            ["--trainer.max_epochs=4", WDL, "--model=TransformerClassifier", APPEND],
            {
                "trainer.max_epochs": 3,
                "model": "TransformerClassifier",
                "model.loss": "WeightedDifferenceLoss",
                "model.optimization.learning_rate": 0.1,
                "model.prompt": None,
                "trainer.callbacks": ["LabelShuffle", "EMAWeights"],
            },
        ),
        ([COMPOSITE, NAMES], {"model.loss.weights": {"bce": 7}, "model.loss.terms.asl": None}),
        (
            [COMPOSITE, "--model.loss.weights.bce=7", "--seed_everything=7"],
            {"model.loss.weights": {"bce": 7, "asl": 3}, "data.seed": 7, "checkpoint.monitor": "val/macro_ap"},
        ),
        (
            [FOCAL, "--model.heights+=3", "--seed_everything=7", "--data.seed=0"],
            {"model.heights": [1, 2, 3], "data.seed": 0},
        ),
        (
            [WDL, "--trainer.callbacks+=EMAWeights", "--trainer.callbacks.decay=0.5", "--seed_everything=0"],
            {
                "trainer.callbacks": ["LabelShuffle", "EMAWeights"],
                "trainer.callbacks.1.decay": 0.5,
                "data.seed": 0,
            },
        ),
        (
            [WDL, "--trainer.callbacks=null", "--early_stopping.monitor=val/loss"],
            {"trainer.callbacks": None, "checkpoint.monitor": "val/loss"},
        ),
        (["--model=BertWDL", "--model=TransformerClassifier"], {"model.loss": "BinaryCrossEntropy"}),
    ],
)
def test_a_later_setting_merges_or_replaces(
    parts: list[str], expected: dict[str, Any], fit_parser: Any, tmp_path: Path
) -> None:
    words = []
    for place, part in enumerate(parts):
        file = tmp_path / f"{place}.yaml"
        file.write_text(part)
        words.append(part if part.startswith("--") else f"--config={file}")
    config = fit_parser.parse_args(["fit", *words])["fit"]
    fill_in(config)
    assert {key: value_of(config.as_dict(), key) for key in expected} == expected


def value_of(config: Any, key: str) -> Any:
    """A setting by its dotted path without ``init_args``; a class is its name, and what is missing is ``None``."""

    def inner(value: Any, name: str) -> Any:
        if isinstance(value, list):
            return value[int(name)]
        value = {**value, **(value.get("init_args") or {})} if isinstance(value, dict) else {}
        return value.get(name)

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(item) for item in value]
        return value["class_path"].rsplit(".", 1)[-1] if isinstance(value, dict) and "class_path" in value else value

    return named(reduce(inner, key.split("."), config))
