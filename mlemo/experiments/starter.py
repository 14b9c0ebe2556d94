"""A first experiment for a file of one's own: which model fits its size and the hardware, and how long it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig

from mlemo.data.corpus import Corpus
from mlemo.models import Linear
from mlemo.nn.encoder import Pretrained
from mlemo.nn.encoder_properties import max_length
from mlemo.nn.encoder_reference import WEIGHTS
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.tfidf import Tfidf

__all__ = ["Encoder", "Starter", "default_encoder", "find_encoder", "make_starter"]

Kind = Literal["Linear", "FrozenHead", "TransformerClassifier", "Lora"]

FEW_ROWS = 2000  #: below which an encoder is not trained on a CPU
LARGE = 200e6  #: parameters from which an encoder gets adapters, or on a CPU stays frozen
SMALL = 50e6  #: parameters below which a larger learning rate is usual
LONGEST = 512  #: tokens, as models of texts have it by default
TRAINING_COST = 3  # times that of a forward pass: forward and backward
TRIED, LINEAR_TRIED = 64, 300  # texts that a rate is measured with
TRAIN = 0.8  # of the rows


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder.

    Args:
        name: Name on the hub, or a local folder.
        parameters: Approximate number, from its config.
        here: Whether its weights are on this machine.
    """

    name: str
    parameters: int
    here: bool


@dataclass(frozen=True)
class Starter:
    """A first experiment.

    Args:
        kind: Which model.
        reason: Why it.
        length: Tokens of the texts, in words; empty where no encoder is on this machine.
        minutes: How long it takes, in words.
        content: The experiment as commented YAML.
    """

    kind: Kind
    reason: str
    length: str
    minutes: str
    content: str


def default_encoder(language: str | None) -> str:
    """Name of a small encoder for a language: an English one, or one of some fifty languages."""
    name = "all-MiniLM-L6-v2" if language == "English" else "paraphrase-multilingual-MiniLM-L12-v2"
    return f"sentence-transformers/{name}"


def find_encoder(name: str) -> Encoder:
    """Look an encoder up, without fetching its weights.

    Raises:
        FileNotFoundError: There is no such folder, and the hub has no such encoder or cannot be reached.
    """
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"encoder {name!r} cannot be had: {str(error).splitlines()[0]}") from error
    width, layers = getattr(config, "hidden_size", 768), getattr(config, "num_hidden_layers", 12)
    return Encoder(name, 12 * layers * width**2 + config.vocab_size * width, _has_weights(name))


def make_starter(settings: Mapping[str, Any], corpus: Corpus, encoder: Encoder | None, head: str) -> Starter:
    """Choose a model, measure how fast it is, and write the experiment.

    Args:
        settings: Settings of `TextFiles`, of which the file with the texts is one.
        corpus: All rows of the file.
        encoder: The encoder that can be had, if any.
        head: First lines of the file, as comments.
    """
    gpu, texts = torch.cuda.is_available(), corpus.texts or ()
    kind, reason = _choice(len(texts), encoder, gpu)
    epochs = {"Linear": 4, "FrozenHead": 100}.get(kind, 8 if len(texts) < 10 * FEW_ROWS else 4)
    length, minutes = "", "not measured, as the encoder is not on this machine yet"
    if kind == "Linear":
        minutes = _minutes_of_linear(corpus, epochs)
    elif encoder is not None and encoder.here:
        length, minutes = _length(encoder.name, texts), _minutes(kind, len(texts), epochs, _rate(encoder.name, texts))
    # a frozen encoder leaves little to compute per row, and a GPU computes many rows at a time
    data = {**settings, "batch_size": 32 if gpu or kind == "FrozenHead" else 16}
    content = "\n".join([head, *_data_lines(data), *_model_lines(kind, encoder, epochs)])
    return Starter(kind, reason, length, minutes, content)


def _has_weights(name: str) -> bool:
    if Path(name).is_dir():
        return any((Path(name) / file).is_file() for file in WEIGHTS)
    return any(isinstance(try_to_load_from_cache(name, file), str) for file in WEIGHTS)


def _choice(rows: int, encoder: Encoder | None, gpu: bool) -> tuple[Kind, str]:
    if encoder is None:
        return "Linear", "no encoder is on this machine or can be fetched: logistic regression over TF-IDF weights"
    size = f"{encoder.parameters / 1e6:,.0f} M parameters"
    if gpu and encoder.parameters > LARGE:
        return "Lora", f"a GPU and a large encoder ({size}): low-rank adapters"
    if not gpu and (rows < FEW_ROWS or encoder.parameters > LARGE):
        why = f"{rows:,} rows" if rows < FEW_ROWS else size
        return "FrozenHead", f"{why} on a CPU: a head over an encoder that is not trained"
    return "TransformerClassifier", f"{rows:,} rows on a {'GPU' if gpu else 'CPU'}: the whole encoder is trained"


def _length(name: str, texts: Sequence[str]) -> str:
    source = Pretrained(name)
    tokenizer = source.tokenizer(list)
    limit = max_length(source.encoder(tokenizer), tokenizer, LONGEST)
    tokens = [len(ids) for ids in tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]
    longer = sum(count > limit for count in tokens)
    return f"longest {max(tokens):,} tokens of the encoder; {longer:,} texts are cut at {limit} (max_length)"


def _rate(name: str, texts: Sequence[str]) -> float:
    """Texts per second of a forward pass, over some that are spread over the file."""
    sample = list(texts[:: max(1, len(texts) // TRIED)][:TRIED])
    encode = FrozenEncoder(name, cache=False)
    encode(sample[:8])  # loads the encoder
    start = time.perf_counter()
    encode(sample)
    return len(sample) / (time.perf_counter() - start)


def _minutes(kind: Kind, rows: int, epochs: int, rate: float) -> str:
    train_rows = TRAIN * rows
    passes = rows if kind == "FrozenHead" else epochs * (TRAINING_COST * train_rows + (rows - train_rows) / 2)
    measured = f"measured: {rate:,.0f} texts per second through the encoder"
    if kind == "FrozenHead":
        return f"about {1 + passes / rate / 60:,.0f} min ({measured}, each text once, and the head)"
    costs = f"{epochs} epochs, training costs {TRAINING_COST} times that"
    return f"at most about {1 + passes / rate / 60:,.0f} min ({measured}; {costs})"


def _minutes_of_linear(corpus: Corpus, fits: int) -> str:
    """The time of a model of some rows, in proportion to that of all."""
    part = corpus.select(range(0, len(corpus), max(1, len(corpus) // LINEAR_TRIED))[:LINEAR_TRIED])
    texts, features = part.texts or (), Tfidf(width=None, terms=None)
    start = time.perf_counter()
    features.fit(texts)
    matrix = features(texts)
    made = time.perf_counter()
    model = Linear(part.label_space, regularization=1.0)
    model.build(matrix.shape[1])
    model.fit(matrix, part.labels, part.mask)
    seconds = (made - start + fits * (time.perf_counter() - made)) * TRAIN * len(corpus) / len(part)
    return f"about {1 + seconds / 60:,.0f} min (measured with {len(part):,} rows, in proportion)"


# the file -----------------------------------------------------------------------------------------------------------

COMMENTS = {
    "train": "a tenth each of its rows is split off for validation and test: stratified, equal texts on one side",
    "encoding": "of the file",
    "text_column": "or several, [title, body], which are joined",
    "labels": "in the order of the results; without this line they are found in the file",
    "true_values": "cells that mean 1",
    "false_values": "cells that mean 0",
    "empty": "what an empty label cell means: no (as 0) or unknown (not annotated)",
    "group_column": "rows with the same cell stay on one side of a split",
}
MODELS: dict[Kind, str] = {
    "Linear": """\
  class_path: Linear
  init_args:
    features:
      class_path: Tfidf
      init_args:
        width: null
        terms: null
    regularization: [0.5, 1.0, 2.0, 4.0]  # one per epoch, of which the best on validation is kept
""",
    "FrozenHead": """\
  class_path: FrozenHead
  init_args:
    features:
      class_path: FrozenEncoder
      init_args:
        encoder: {encoder}
        pooling: mean
    loss:
      class_path: BinaryCrossEntropy
    optimization:
      learning_rate: 1.0e-3
""",
    "TransformerClassifier": """\
  class_path: TransformerClassifier
  init_args:
    encoder: {encoder}
    loss:
      class_path: BinaryCrossEntropy
    optimization:
      learning_rate: {rate}
""",
    "Lora": """\
  class_path: TransformerClassifier
  init_args:
    encoder:
      class_path: Lora
      init_args:
        base: {encoder}
        r: 8
        target_modules: all-linear
    loss:
      class_path: BinaryCrossEntropy
    optimization:
      learning_rate: 5.0e-4
""",
}


def _data_lines(settings: Mapping[str, Any]) -> list[str]:
    lines = ["seed_everything: 42", "data:", "  class_path: TextFiles", "  init_args:"]
    for key, value in settings.items():
        lines += [f"    # {COMMENTS[key]}"] if key in COMMENTS else []
        lines.append(f"    {key}: {json.dumps(value, ensure_ascii=False)}")  # JSON is YAML
    return lines


def _model_lines(kind: Kind, encoder: Encoder | None, epochs: int) -> list[str]:
    name = json.dumps(None if encoder is None else encoder.name, ensure_ascii=False)
    rate = "1.0e-4" if encoder is None or encoder.parameters < SMALL else "2.0e-5"
    lines = ["model:", MODELS[kind].format(encoder=name, rate=rate) + f"trainer:\n  max_epochs: {epochs}"]
    if kind in ("TransformerClassifier", "Lora"):
        return [*lines, "  gradient_clip_val: 1.0", ""]
    lines.append("  precision: 32-true")
    if kind == "FrozenHead":
        lines += ["early_stopping:", "  patience: 10  # epochs without a better score on validation"]
    return [*lines, ""]
