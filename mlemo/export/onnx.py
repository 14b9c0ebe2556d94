"""Export of a network to ONNX: from the tensors of a batch to logits and probabilities."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from mlemo.batch import Batch
from mlemo.data import Corpus
from mlemo.data.collate import batched
from mlemo.models import MultiLabelModel
from mlemo.runs.onnx_model import ONNX

__all__ = ["write_onnx"]

NOT_OF_THE_TEXT = ("labels", "label_mask", "index")  #: entries of a batch that no prediction depends on
MOST_ROWS = 1024  #: texts of a batch
TEXTS = ("short", "a text of several words, longer than the other one")  #: of two lengths, which differ from 0 and 1


class _Network(nn.Module):
    """The model as a function of tensors."""

    def __init__(self, model: MultiLabelModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        batch: Batch = dict(zip(self.names, tensors, strict=True))  # type: ignore[assignment]
        logits = self.model.predict_logits(batch).float()
        return logits, logits.sigmoid()


def write_onnx(folder: Path, model: MultiLabelModel) -> None:
    """Write the network of a model as a graph whose numbers of texts and tokens are free.

    The inputs are the tensors of a batch by name (``input_ids``, ``attention_mask`` …, or ``features``), the outputs
    ``logits`` and ``probabilities``, both ``(B, C)``.

    Args:
        folder: Folder to write ``model.onnx`` to.
        model: A trained model on the CPU, in evaluation mode.

    Raises:
        ImportError: onnxscript is not installed.
        ValueError: The network has a part that ONNX does not know.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415  # an extra
    except ImportError as error:
        raise ImportError('onnxscript is not installed; install it by `pip install "mlemo[onnx]"`') from error
    space = model.label_space
    corpus = Corpus(space, torch.zeros(len(TEXTS), len(space)), [str(row) for row in range(len(TEXTS))], list(TEXTS))
    batch = batched(corpus, model.data_input).__getitems__(range(len(TEXTS)))
    tensors: dict[str, Tensor] = {name: value for name, value in batch.items() if name not in NOT_OF_THE_TEXT}  # type: ignore[misc]  # a TypedDict of tensors
    length = tensors["attention_mask"].shape[1] if "attention_mask" in tensors else None
    rows, tokens = Dim("batch", max=MOST_ROWS), Dim("tokens")
    fixed = getattr(model.data_input, "fixed_length", False)
    shapes = [
        {0: rows, 1: tokens} if not fixed and value.ndim > 1 and value.shape[1] == length else {0: rows}
        for value in tensors.values()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its exporter
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(
                _Network(model, list(tensors)),
                (tuple(tensors.values()),),
                folder / ONNX,
                input_names=list(tensors),
                output_names=["logits", "probabilities"],
                dynamic_shapes=(tuple(shapes),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ValueError(f"this {type(model).__name__} cannot be exported to ONNX: {error.__cause__}") from error
        finally:
            logging.disable(logging.NOTSET)
    _check_free(folder / ONNX, model)


def _check_free(path: Path, model: MultiLabelModel) -> None:
    """Refuse a graph that is bound to the number of texts that it was made with."""
    import onnxruntime  # noqa: PLC0415  # an extra

    inputs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()
    if bound := [each.name for each in inputs if not isinstance(each.shape[0], str)]:
        raise ValueError(
            f"this {type(model).__name__} cannot be exported to ONNX: its computation is bound to the number of texts "
            f"of the example ({', '.join(bound)})"
        )
