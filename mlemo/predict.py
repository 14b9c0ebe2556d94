"""Text in, named labels out: a trained checkpoint as a function, and as ``mlemo classify``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from mlemo.batch import FeatureInput
from mlemo.checkpoints import find_checkpoint, read_checkpoint
from mlemo.cli.texts import print_json, print_table, text_lines
from mlemo.data.collate import batched
from mlemo.data.corpus import Corpus
from mlemo.models import FeatureModel, MultiLabelModel, TextModel
from mlemo.thresholds import FixedThreshold, ThresholdRule, rule_of_inference, rules_from_checkpoint

__all__ = ["Classified", "Classifier", "classify", "load"]


@dataclass(frozen=True)
class Classified:
    """One classified text.

    Args:
        text: The text as it was given.
        labels: Names of the decided labels, in label order.
        probabilities: Probability of every label, by name.
    """

    text: str
    labels: list[str]
    probabilities: dict[str, float]


class Classifier:
    """A trained model with its tokenizer and its threshold rule: call it with a text or a list of texts.

    Args:
        model: A trained model that reads texts.
        rule: The fitted rule that turns probabilities into label sets.
        batch_size: Texts in one forward pass.
    """

    def __init__(self, model: MultiLabelModel, rule: ThresholdRule, batch_size: int = 64) -> None:
        self.model, self.rule, self.batch_size = model.eval(), rule, batch_size

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels in official order."""
        return self.model.label_space.names

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Probabilities ``(N, C)`` on the CPU, rows in the order of the texts."""
        space, count = self.model.label_space, len(texts)
        if not count:
            return torch.zeros(0, len(space))
        corpus = Corpus(space, torch.zeros(count, len(space)), [str(row) for row in range(count)], texts=list(texts))
        dataset = batched(corpus, self.model.data_input)
        order = dataset.lengths.argsort(descending=True, stable=True)  # texts of like length together: little padding
        result = torch.empty(count, len(space))
        with torch.inference_mode():
            for rows in order.split(self.batch_size):
                batch = self.model.transfer_batch_to_device(dataset.__getitems__(rows), self.model.device, 0)
                result[rows] = self.model.predict_logits(batch).float().sigmoid().cpu()
        return result

    @overload
    def __call__(self, texts: str) -> Classified: ...  # type: ignore[overload-overlap]  # a str is a sequence too

    @overload
    def __call__(self, texts: Sequence[str]) -> list[Classified]: ...

    def __call__(self, texts: str | Sequence[str]) -> Classified | list[Classified]:
        """Classify one text, or several in one go.

        Raises:
            TypeError: Something else than strings.
        """
        several = [texts] if isinstance(texts, str) else list(texts)
        for item in several:
            if not isinstance(item, str):
                raise TypeError(f"texts must be strings, found {type(item).__name__}: {item!r}")
        probabilities = self.probabilities(several)
        decisions = self.rule.predict(probabilities)
        results = [
            Classified(text, self.model.label_space.decode(decided), dict(zip(self.labels, row)))
            for text, decided, row in zip(several, decisions.tolist(), probabilities.tolist())
        ]
        return results[0] if isinstance(texts, str) else results


def load(path: str | Path, device: str | torch.device = "cpu") -> Classifier:
    """A classifier from a checkpoint file, or from a run's folder (its best checkpoint).

    Args:
        path: ``….ckpt``, or the folder of a run.
        device: Where the model computes.

    Returns:
        A ``Classifier``; ``load(path)("some text")`` gives labels, probabilities and decisions.

    Raises:
        FileNotFoundError: There is no such file or folder, or the frozen encoder that the checkpoint names is gone.
        ValueError: The checkpoint is damaged, not one of a text model of mlemo, of a class that is not there, or its
            frozen encoder differs from the one that the model was trained on.
    """
    file = find_checkpoint(path)
    checkpoint = read_checkpoint(file)
    name = checkpoint.get("model_class")
    if name is None:
        raise ValueError(f"{file} does not name its model class; it was not written by a model of mlemo")
    module, _, attribute = name.rpartition(".")
    try:
        model_class: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{file} holds a {name}, which cannot be imported: {error}") from error
    if not (isinstance(model_class, type) and issubclass(model_class, TextModel | FeatureModel)):
        raise ValueError(f"{file} holds a {name}, which does not classify texts")
    model = model_class.load_from_checkpoint(file, map_location="cpu", weights_only=True)
    if model.data_input == FeatureInput(None):
        raise ValueError(f"{file} holds a {name} over a tabular corpus, which does not classify texts")
    rules = rules_from_checkpoint(checkpoint, model.inferences[0])
    rule = rule_of_inference(rules, model.prediction_inference) if rules else FixedThreshold(0.5)
    return Classifier(model.to(device), rule)


def classify(words: Sequence[str]) -> list[Classified]:
    """``mlemo classify``: print the labels of sentences, or of the lines of a file.

    Args:
        words: The command line behind ``classify``.

    Raises:
        SystemExit: The command line cannot be understood, or there is nothing to classify.
    """
    parser = argparse.ArgumentParser(
        prog="mlemo classify", description="Label sentences, or the lines of a file, with a trained checkpoint."
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="sentences; none reads lines from standard input")
    parser.add_argument("--ckpt", required=True, metavar="PATH", help="checkpoint file, or folder of a run")
    parser.add_argument("--file", type=Path, help="a text file, one text a line (UTF-8)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda (default: cpu)")
    options = parser.parse_args(list(words))
    try:
        texts = [*options.texts, *([] if options.file is None else text_lines(options.file))]
        if not options.texts and options.file is None and not sys.stdin.isatty():
            texts = text_lines(None)
        if not texts:
            parser.error("nothing to classify: give sentences, --file, or lines on standard input")
        results = load(options.ckpt, options.device)(texts)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    (print_json if options.json else print_table)(results)
    return results
