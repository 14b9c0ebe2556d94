"""Classification of texts with a trained checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, overload

import torch
from torch import Tensor, nn

from mlemo.batch import FeatureInput
from mlemo.data.collate import TokenizedCorpus, batched
from mlemo.data.corpus import Corpus
from mlemo.models import FeatureModel, MultiLabelModel, TextModel
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.packed_linear import pack_linear
from mlemo.runs.ensemble import member_files, read_ensemble, weighted_mean
from mlemo.runs.exported import is_exported, read_exported
from mlemo.runs.files import ENSEMBLE
from mlemo.runs.loading import find_checkpoint, load_model, read_checkpoint
from mlemo.runs.onnx_model import INT8, ONNX, OnnxModel
from mlemo.thresholds import FixedThreshold, ThresholdRule, rule_from_dict, rule_of_inference, rules_from_checkpoint
from mlemo.utils.hardware import has_bf16

__all__ = ["Classified", "Classifier", "EnsembleClassifier", "classifier_of", "load"]


@dataclass(frozen=True)
class Classified:
    """One classified text.

    Args:
        text: The given text.
        labels: Names of the decided labels, in label order.
        probabilities: Probability of every label, by name.
    """

    text: str
    labels: list[str]
    probabilities: dict[str, float]


class Classifier:
    """A trained model with its tokenizer and decision rule, called with a text or a list of texts.

    Args:
        model: A trained model that reads texts.
        rule: Fitted decision rule.
        batch_size: Most texts per forward pass.
        batch_tokens: Most tokens per forward pass, padding included; ``None`` for 1,024 on a CPU, whose caches hold
            their states, and 65,536 elsewhere.
        rules: All fitted rules of the checkpoint, by the inference mode under which each was fitted.
    """

    def __init__(
        self,
        model: MultiLabelModel,
        rule: ThresholdRule,
        batch_size: int = 64,
        batch_tokens: int | None = None,
        rules: Mapping[str, ThresholdRule] | None = None,
    ) -> None:
        self.model, self.rule, self.rules = model.eval(), rule, dict(rules or {})
        self.batch_size, self.batch_tokens = batch_size, batch_tokens

    def accelerate(self, dtype: torch.dtype = torch.float32) -> Self:
        """Prepare the encoder for many texts, see `mlemo.nn.packed_linear.PackedLinear`; it cannot be trained any more.

        This is done once. Only tokens limit a batch then, since short texts take many to use the hardware.

        Args:
            dtype: ``torch.float32``, or ``torch.bfloat16`` for products in bfloat16.

        Returns:
            The classifier itself.

        Raises:
            ValueError: ``torch.bfloat16``, and the hardware does not multiply in it, or the model has no encoder of its
                own.
        """
        if dtype != torch.float32 and not has_bf16():
            raise ValueError(f"the hardware does not multiply in {dtype}, which would be slower than float32")
        self.batch_size = sys.maxsize
        encoder = getattr(self.model, "encoder", None)
        if isinstance(encoder, nn.Module):
            pack_linear(encoder, dtype)
            if dtype != torch.float32:  # for products outside of linear layers, as in attention
                encoder.forward = torch.autocast(self.model.device.type, dtype)(encoder.forward)
        elif dtype != torch.float32:
            raise ValueError(f"{type(self.model).__name__} has no encoder of its own that could multiply in {dtype}")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels in official order."""
        return self.model.label_space.names

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Compute probabilities ``(N, C)`` on the CPU, with rows in the order of the texts."""
        space, count = self.model.label_space, len(texts)
        if not count:
            return torch.zeros(0, len(space))
        corpus = Corpus(space, torch.zeros(count, len(space)), [str(row) for row in range(count)], texts=list(texts))
        dataset = batched(corpus, self.model.data_input)
        prompt = len(dataset.prefix) + len(dataset.suffix) if isinstance(dataset, TokenizedCorpus) else 0
        most = self.batch_tokens or (1024 if self.model.device.type == "cpu" else 65_536)
        result = torch.empty(count, len(space))
        with torch.inference_mode():
            for rows in _batches(dataset.lengths + prompt, self.batch_size, most):
                batch = self.model.transfer_batch_to_device(dataset.__getitems__(rows), self.model.device, 0)
                result[rows] = self.model.predict_logits(batch).float().sigmoid().cpu()
        return result

    @overload
    def __call__(self, texts: str) -> Classified: ...  # type: ignore[overload-overlap]  # a str is a sequence too

    @overload
    def __call__(self, texts: Sequence[str]) -> list[Classified]: ...

    def __call__(self, texts: str | Sequence[str]) -> Classified | list[Classified]:
        """Classify one text, or several at once.

        Raises:
            TypeError: A text is not a string.
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


class EnsembleClassifier(Classifier):
    """An ensemble: ``p(text) = Σ_m w_m p_m(text)``, decided by a rule fitted on these probabilities.

    Args:
        members: The members, over the same labels; ``model`` is that of the first.
        weights: Weights w, which add up to 1.
        rule: Fitted decision rule.
    """

    def __init__(self, members: Sequence[Classifier], weights: Sequence[float], rule: ThresholdRule) -> None:
        super().__init__(members[0].model, rule)
        self.members, self.weights = tuple(members), tuple(weights)

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Compute probabilities ``(N, C)`` on the CPU, with rows in the order of the texts."""
        return weighted_mean([member.probabilities(texts) for member in self.members], self.weights)

    def accelerate(self, dtype: torch.dtype = torch.float32) -> Self:
        """Prepare the encoder of every member for many texts, see `Classifier.accelerate`."""
        for member in self.members:
            member.accelerate(dtype)
        return self


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    trust: Iterable[str] = (),
    runtime: Literal["torch", "onnx", "int8"] = "torch",
) -> Classifier:
    """Load a classifier from a checkpoint file, or the folder of a run, of an ensemble, or of `mlemo export`.

    It is loaded as data: code in it is not run, and classes of the user are found only in imported or trusted
    modules.

    Args:
        path: ``….ckpt``, or the folder of a run (its best checkpoint), of an ensemble, or of ``mlemo export``.
        device: Where the model computes.
        trust: Modules to import, whose classes the checkpoint may name.
        runtime: ``torch``, or for an exported folder with ``model.onnx`` also ``onnx``: onnxruntime on the CPU;
            ``int8`` with ``model.int8.onnx``.

    Returns:
        A ``Classifier``; ``load(path)("some text")`` returns labels, probabilities and decisions.

    Raises:
        FileNotFoundError: The file or folder, or the frozen encoder named by the checkpoint, does not exist.
        ValueError: The checkpoint or folder is damaged, not of a text model of mlemo, or of a missing or untrusted
            class; its frozen encoder differs from that of training; or a member of an ensemble has changed.
        ImportError: onnxruntime is not installed.
    """
    if is_exported(path):
        result = classifier_of(read_exported(path), Path(path), device, trust)
        if runtime != "torch":
            result.model = OnnxModel(Path(path) / (INT8 if runtime == "int8" else ONNX), result.model)
        return result
    if runtime != "torch":
        raise ValueError(f"{path} is no folder of `mlemo export --onnx`, which onnxruntime needs")
    file = find_checkpoint(path)
    if file.name == ENSEMBLE.name:
        return _ensemble_of(file, device, trust)
    return classifier_of(read_checkpoint(file), file, device, trust)


def classifier_of(
    checkpoint: dict[str, Any], file: Path, device: str | torch.device = "cpu", trust: Iterable[str] = ()
) -> Classifier:
    """Create a classifier from a loaded checkpoint; see `load`.

    Args:
        checkpoint: A checkpoint loaded by `mlemo.runs.loading.read_checkpoint`.
        file: File of the checkpoint, for error messages.
        device: Where the model computes.
        trust: Modules to import, whose classes the checkpoint may name.

    Raises:
        FileNotFoundError: The frozen encoder named by the checkpoint does not exist.
        ValueError: The checkpoint's model does not classify texts, or cannot be loaded.
    """
    model = load_model(checkpoint, file, trust)
    holds = f"{file} holds a {checkpoint['model_class']}"
    if not isinstance(model, TextModel | FeatureModel):
        raise ValueError(f"{holds}, which does not classify texts")
    if model.data_input == FeatureInput(None):
        raise ValueError(f"{holds} over a tabular corpus, which does not classify texts")
    if isinstance(model, FeatureModel) and isinstance(model.features, FrozenEncoder):
        model.features.cache = False  # new texts are seldom the same again, and a million would fill the disk
    rules = rules_from_checkpoint(checkpoint, model.inferences[0])
    rule = rule_of_inference(rules, model.prediction_inference) if rules else FixedThreshold(0.5)
    return Classifier(model.to(device), rule, rules=rules)


def _ensemble_of(file: Path, device: str | torch.device, trust: Iterable[str]) -> EnsembleClassifier:
    ensemble = read_ensemble(file)
    members = [classifier_of(read_checkpoint(member), member, device, trust) for member in member_files(file, ensemble)]
    for member, found in zip(ensemble.members, members):
        if found.labels != tuple(ensemble.labels):
            raise ValueError(
                f"{file}: its member {member.checkpoint} has the labels {', '.join(found.labels)}, expected "
                f"{', '.join(ensemble.labels)}"
            )
    return EnsembleClassifier(members, [member.weight for member in ensemble.members], rule_from_dict(ensemble.rule))


def _batches(lengths: Tensor, rows: int, tokens: int) -> Iterator[Tensor]:
    """Rows by batch, similar lengths together.

    Args:
        lengths: ``(N,)`` tokens of each row.
        rows: Most rows of a batch.
        tokens: Most tokens of a batch, padding included; a longer row is a batch by itself.
    """
    order = lengths.argsort(descending=True, stable=True)
    start = 0
    while start < len(order):
        size = max(1, min(rows, tokens // max(1, int(lengths[order[start]]))))
        yield order[start : start + size]
        start += size
