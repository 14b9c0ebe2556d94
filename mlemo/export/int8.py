"""Quantization of an exported graph to 8 bits, after a check that its decisions are those of the model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mlemo.inference import Classifier
from mlemo.runs.onnx_model import INT8, ONNX, OnnxModel

__all__ = ["AGREEMENT", "write_int8"]

AGREEMENT = 0.999  #: smallest share of equal decisions

log = logging.getLogger(__name__)


def write_int8(folder: Path, classifier: Classifier, texts: Sequence[str], agreement: float = AGREEMENT) -> None:
    """Quantize the weights of linear layers to 8 bits (dynamic quantization), if decisions on texts hold.

    Args:
        folder: Folder with ``model.onnx``, to which ``model.int8.onnx`` is written.
        classifier: The model in PyTorch with its decision rule.
        texts: Texts of the validation split.
        agreement: Smallest share of equal decisions over texts and labels, between 0 and 1.

    Raises:
        ValueError: Fewer decisions are equal; the message has the share.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415  # an extra

    logging.disable(logging.WARNING)  # it advises to fold constants, which the exporter did
    try:
        quantize_dynamic(folder / ONNX, folder / INT8, weight_type=QuantType.QInt8)
    finally:
        logging.disable(logging.NOTSET)
    quantized = Classifier(OnnxModel(folder / INT8, classifier.model), classifier.rule)
    expected = classifier.rule.predict(classifier.probabilities(texts))
    equal = (quantized.rule.predict(quantized.probabilities(texts)) == expected).float().mean().item()
    if equal < agreement:
        raise ValueError(
            f"of the decisions on {len(texts):,} validation texts in 8 bits, a share of {equal:.4f} is equal to those "
            f"in 32 bits; at least {agreement:g} is expected. Export without --int8, or set --agreement"
        )
    log.info("8 bits: a share of %.4f of the decisions on %s validation texts is equal", equal, f"{len(texts):,}")
