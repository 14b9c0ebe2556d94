"""The network of an exported folder as an ONNX graph, run by onnxruntime in place of PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mlemo.batch import Batch, DataInput
from mlemo.models import MultiLabelModel

__all__ = ["INT8", "ONNX", "OnnxModel"]

ONNX, INT8 = "model.onnx", "model.int8.onnx"


class OnnxModel(MultiLabelModel):
    """A model whose logits are those of a graph, on the CPU.

    Args:
        path: The graph, with the inputs of a batch by name and the outputs ``logits`` and ``probabilities``.
        model: The model that the graph was made of, which says how texts are prepared; it is not kept.

    Raises:
        FileNotFoundError: There is no graph.
        ImportError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, model: MultiLabelModel) -> None:
        try:
            import onnxruntime  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ImportError('onnxruntime is not installed; install it by `pip install "mlemo[onnx]"`') from error
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there; `mlemo export --onnx` writes it")
        super().__init__(model.label_space)
        self._data_input, self._inference = model.data_input, model.prediction_inference
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]
        self.eval()

    @property
    def data_input(self) -> DataInput:
        """The input that the graph needs from the data."""
        return self._data_input

    @property
    def inferences(self) -> tuple[str, ...]:
        """The inference mode that the graph was made with."""
        return (self._inference,)

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``."""
        inputs = {name: batch[name].numpy() for name in self._inputs}  # type: ignore[literal-required]
        return torch.from_numpy(self._session.run(["logits"], inputs)[0])
