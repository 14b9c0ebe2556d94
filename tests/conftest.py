"""What the tests share: no network, one thread, and tiny models over a tiny corpus."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import json
import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import RobertaTokenizer

from mlemo import training
from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.labels import LabelSpace
from mlemo.models import BertWDL, TransformerClassifier
from mlemo.nn.encoder import FromScratch

torch.set_num_threads(1)

# "self confidence" and "unease" are words that the tiny corpus does not have: several word pieces each
SPACE = LabelSpace(("joy", "self_confidence", "anger", "fear", "unease"))
TEXT = (
    "we had such a good day and I was so happy joy anger fear of what may come tomorrow or never again why not now "
    "they told me nothing at all then left in silence while it rained on the old house by the sea"
)
SIZES = {"train": 23, "val": 9, "test": 10}


class TinyEmotions(EmotionDataModule):
    """Random words with random label sets; lengths from 1 to 20 words, some labels not annotated, some sets empty."""

    @property
    def label_space(self) -> LabelSpace:
        return SPACE

    def read(self, split: Split) -> Corpus:
        rng = random.Random(split)
        rows = SIZES[split]
        texts = [" ".join(rng.choices(TEXT.split(), k=rng.randint(1, 20))) for _ in range(rows)]
        generator = torch.Generator().manual_seed(SIZES[split])
        mask = torch.rand(rows, len(SPACE), generator=generator) < 0.9
        labels = (torch.rand(rows, len(SPACE), generator=generator) < 0.35).float() * mask
        return Corpus(SPACE, labels, [f"{split}-{row}" for row in range(rows)], texts, mask=mask)


@pytest.fixture
def data() -> Callable[..., TinyEmotions]:
    """Maker of the tiny datamodule: ``data(batch_size=4)``."""
    return TinyEmotions


@pytest.fixture
def corpus() -> Corpus:
    """The training split of the tiny corpus."""
    return TinyEmotions().corpus("train")


@pytest.fixture
def source() -> FromScratch:
    """A tiny encoder with a tokenizer that is trained on what it is given."""
    return FromScratch(layers=1, width=32, heads=2, vocabulary=150, max_positions=128)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A BERT-like tokenizer trained on the tiny corpus."""
    return FromScratch(vocabulary=150, max_positions=128).tokenizer(lambda: TinyEmotions().corpus("train").texts)


@pytest.fixture(scope="session")
def roberta() -> Any:
    """A RoBERTa-like tokenizer trained on the tiny corpus: byte-level pieces, ``<s> A </s></s> B </s>``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TinyEmotions().corpus("train").texts, trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=trained["vocab"], merges=[tuple(merge) for merge in trained["merges"]])


@pytest.fixture
def bert_wdl(source: FromScratch) -> Callable[..., BertWDL]:
    """Maker of a tiny Bert-WDL with its encoder made: ``bert_wdl(prompt="words")``."""
    return lambda **settings: _build(BertWDL, source, settings)


@pytest.fixture
def classifier(source: FromScratch) -> Callable[..., TransformerClassifier]:
    """Maker of a tiny plain classifier with its encoder made."""
    return lambda **settings: _build(TransformerClassifier, source, settings)


def _build(kind: Any, source: FromScratch, settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = kind(SPACE, settings.pop("encoder", source), **settings)
    model.build(lambda: TinyEmotions().corpus("train").texts)
    return model


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """Maker of a silent trainer that writes nothing unless it is asked to."""

    def make(**settings: Any) -> Trainer:
        quiet: dict[str, Any] = {
            "default_root_dir": tmp_path,
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "use_distributed_sampler": False,
        }
        return Trainer(**quiet | settings)

    return make


@pytest.fixture
def unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps can be called without a trainer: what they log is let go."""
    monkeypatch.setattr(LightningModule, "log", lambda *args, **kwargs: None)


@pytest.fixture
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code with ``torch.autocast`` runs on the meta device, which torch's own knows nothing of."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """Folder of a tiny encoder in the hub's layout."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("pretrained")
    FromScratch(layers=1, width=32, heads=2, max_positions=128).encoder(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def breaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file; while it is there, the callback ``breaking.Break`` raises an error when a training starts."""
    (tmp_path / "breaking.py").write_text(
        "import lightning.pytorch as pl, pathlib\n"
        "class Break(pl.Callback):\n"
        "    def on_train_start(self, trainer, model):\n"
        "        if pathlib.Path(__file__).with_name('flag').exists(): raise RuntimeError('the sky ' + 'fell')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    flag = tmp_path / "flag"
    flag.touch()
    return flag


class Parsed(Exception):
    """Ends the command line interface when its parser is there."""


@pytest.fixture(scope="session")
def fit_parser() -> Any:
    """The parser of ``mlemo fit``: making it takes longer than parsing."""
    found = []

    def keep(self: training.MlemoCLI, parser: Any, args: Any) -> None:
        found.append(parser)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.MlemoCLI, "parse_arguments", keep)
        with pytest.raises(Parsed):
            training.run("fit", [])
    return found[0]
