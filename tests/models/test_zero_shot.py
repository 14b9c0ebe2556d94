"""Zero-shot classification by label descriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mlemo
from mlemo.cli import main
from mlemo.labels import LabelSpace
from mlemo.models import ZeroShot
from mlemo.nn.features import TextFeatures
from mlemo.runs.predictions import read_predictions

from .network_tester import TinyTable

Maker = Callable[..., Any]
SPACE = LabelSpace(("joy", "great_fear"))


class Counts(TextFeatures):
    """How often each of three words occurs."""

    def __call__(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[text.split().count(word) for word in ("joy", "fear", "day")] for text in texts]).float()


TEXTS = ["joy", "joy day", "fear day", "day", "fear joy"]


def fitted(labels: Tensor | None = None, **settings: Any) -> ZeroShot:
    model = ZeroShot(SPACE, Counts(), **settings)
    model.build(3)
    labels = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 0], [0, 0]]) if labels is None else labels
    model.fit(Counts()(TEXTS), labels, torch.ones_like(labels, dtype=torch.bool))
    return model


def test_logits_by_hand() -> None:
    root = 0.5**0.5
    cosines = torch.tensor([[1, 0], [root, 0], [0, root], [0, 0], [root, root]])
    # two of five rows have joy and one has fear: offsets between the third and the second, and at the first value
    offsets = torch.tensor([cosines[:, 0].quantile(0.6), cosines[:, 1].quantile(0.8)])
    deviation = cosines.var(0, correction=0).mean().sqrt()
    found = fitted()({"features": Counts()(TEXTS)})
    torch.testing.assert_close(found, (cosines - offsets) / deviation)


def test_with_a_fixed_share_no_label_is_used() -> None:
    first, second = fitted(share=0.4), fitted(torch.zeros(5, 2), share=0.4)
    batch = {"features": Counts()(TEXTS)}
    assert torch.equal(first(batch), second(batch))
    assert not torch.equal(first(batch), fitted()(batch))


def test_descriptions_replace_the_names() -> None:
    batch = {"features": Counts()(["day", "joy"])}
    assert fitted(descriptions=["day", "fear"], share=0.4)(batch)[0, 0] > fitted(share=0.4)(batch)[0, 0]


def test_a_whole_run_is_reloaded_and_used(pretrained: Path, tmp_path: Path) -> None:
    words = ["--data=SyntheticEmotions", "--data.size=60", "--data.val_size=24", "--data.test_size=16"]
    features = ["--model.features=FrozenEncoder", f"--model.features.encoder={pretrained}"]
    precision = ["--model.features.bf16=false", "--model.features.cache=false", "--model.share=0.2"]
    quiet = [f"--trainer.logger.save_dir={tmp_path}", "--trainer.accelerator=cpu"]
    cli = main(["fit", "--model=ZeroShot", *words, *features, *precision, *quiet])
    folder = Path(cli.trainer.log_dir)
    assert cli.trainer.global_step == 1
    classified = mlemo.load(folder)(cli.datamodule.corpus("test").texts)
    found = torch.tensor([list(one.probabilities.values()) for one in classified])
    assert (found.std(0) > 0).all()
    expected = read_predictions(folder / "predictions_test.csv").probabilities
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_no_label_is_needed_with_a_fixed_share(pretrained: Path, tmp_path: Path) -> None:
    sentence = "we had such a good day and it rained on the old house by the sea"
    texts = [" ".join(sentence.split()[first : first + length]) for first in range(8) for length in (3, 5, 8)]
    (tmp_path / "texts.csv").write_text("text\n" + "\n".join(texts))
    data = ["--data", "TextFiles", "--data.train", str(tmp_path / "texts.csv"), "--data.labels", "[joy, great_fear]"]
    model = ["--model", "ZeroShot", "--model.features.encoder", str(pretrained), "--model.features.cache", "false"]
    words = ["fit", *data, "--data.empty", "unknown", *model, "--trainer.logger", "CSVLogger"]
    root = ["--trainer.logger.save_dir", str(tmp_path), "--trainer.logger.name", "runs"]
    with pytest.warns(UserWarning, match="nothing is tested: no validation"):
        main([*words, *root, "--model.share", "0.3"])
    run = tmp_path / "runs/version_0"
    assert not list(run.glob("results*")), "nothing is scored"
    classifier = mlemo.load(run)
    assert isinstance(classifier.model, ZeroShot)
    decided = (classifier.probabilities(texts) >= 0.5).float().mean(0)
    assert decided.sub(0.3).abs().max() < 0.16
    with pytest.raises(ValueError, match="the train split has no positive"):  # whose share the labels would have
        main([*words, *root])


def test_a_corpus_without_texts_is_refused(trainer: Maker) -> None:
    module = TinyTable()
    with pytest.raises(ValueError, match="ZeroShot compares texts with label descriptions"):
        trainer().fit(ZeroShot(module.label_space), datamodule=module)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"share": 1.0}, "model.share must be above 0 and below 1, found 1.0"),
        ({"descriptions": ["joy"]}, "model.descriptions has 1 texts, expected one per label: 2"),
        ({"descriptions": "corpus"}, "this corpus has no words for its labels"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ZeroShot(SPACE, Counts(), **setting)
