"""Export of a run: the folder, its model card, and the ONNX graph if it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlemo.export.card import write_card
from mlemo.export.folder import Part, write_folder
from mlemo.export.int8 import write_int8
from mlemo.export.onnx import write_onnx
from mlemo.inference import classifier_of
from mlemo.reporting.explanations.corpora import corpus_of
from mlemo.runs.loading import find_checkpoint, read_checkpoint

__all__ = ["export"]


def export(
    run: str | Path,
    output: str | Path,
    *,
    adapter: bool = False,
    onnx: bool = False,
    int8: float | None = None,
    license_id: str | None = None,
    trust: Iterable[str] = (),
) -> Path:
    """Export a trained text model to a folder that `mlemo.load` reads.

    Args:
        run: Folder of a run, whose tested checkpoint is taken, or a checkpoint.
        output: The folder to be made.
        adapter: Write what was trained alone, and name the frozen encoder below it.
        onnx: Write the network as an ONNX graph as well.
        int8: Write a graph in 8 bits, if at least this share of decisions on the validation split holds.
        license_id: License of the model for the card, as an SPDX identifier.
        trust: Modules to import, whose classes the checkpoint may name.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: There is no such run, or a frozen encoder is missing.
        FileExistsError: There is something in the folder.
        ValueError: The checkpoint cannot be read, is not of a text model, or cannot be exported as asked.
        ImportError: The libraries of ``mlemo[onnx]`` are not installed.
    """
    file = find_checkpoint(run)
    checkpoint = read_checkpoint(file)
    classifier = classifier_of(checkpoint, file, trust=trust)
    parts: list[Part] = [lambda folder: write_card(folder, classifier.model, classifier.rule, Path(run), license_id)]
    if onnx or int8 is not None:
        parts.append(lambda folder: write_onnx(folder, classifier.model))
    if int8 is not None:
        texts = corpus_of(checkpoint, "val", trust).texts or []
        parts.append(lambda folder: write_int8(folder, classifier, texts, int8))
    return write_folder(classifier.model, checkpoint, output, tuple(parts), adapter=adapter)
