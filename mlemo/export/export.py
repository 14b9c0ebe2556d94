"""Export of a run: the folder, its model card, and the ONNX graph if it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlemo.export.card import write_card
from mlemo.export.folder import Part, write_folder
from mlemo.inference import classifier_of
from mlemo.runs.loading import find_checkpoint, read_checkpoint

__all__ = ["export"]


def export(
    run: str | Path,
    output: str | Path,
    *,
    adapter: bool = False,
    license_id: str | None = None,
    trust: Iterable[str] = (),
) -> Path:
    """Export a trained text model to a folder that `mlemo.load` reads.

    Args:
        run: Folder of a run, whose tested checkpoint is taken, or a checkpoint.
        output: The folder to be made.
        adapter: Write what was trained alone, and name the frozen encoder below it.
        license_id: License of the model for the card, as an SPDX identifier.
        trust: Modules to import, whose classes the checkpoint may name.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: There is no such run, or a frozen encoder is missing.
        FileExistsError: There is something in the folder.
        ValueError: The checkpoint cannot be read, is not of a text model, or cannot be exported as asked.
    """
    file = find_checkpoint(run)
    checkpoint = read_checkpoint(file)
    classifier = classifier_of(checkpoint, file, trust=trust)
    parts: list[Part] = [lambda folder: write_card(folder, classifier.model, classifier.rule, Path(run), license_id)]
    return write_folder(classifier.model, checkpoint, output, tuple(parts), adapter=adapter)
