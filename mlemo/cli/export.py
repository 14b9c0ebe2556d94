"""``mlemo export``: a trained model as a folder that others use."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["main", "parser"]

DESCRIPTION = """\
Export a trained text model: weights without the state of the training as model.safetensors, the tokenizer, labels,
decision rule, cleaning and settings as config.json, checksums, and a model card. The folder is read by
`mlemo.load(FOLDER)`, `mlemo classify --ckpt FOLDER` and `mlemo serve FOLDER`.

  mlemo export runs/version_0 --output my-model"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo export``."""
    result = CommandParser("export", DESCRIPTION)
    add = result.add_argument
    add("run", metavar="RUN", help="folder of a run, whose tested checkpoint is taken, or a checkpoint file")
    add("--output", type=Path, required=True, metavar="FOLDER", help="folder to write, new or empty")
    add("--adapter", action="store_true", help="leave the frozen encoder out and name it (low-rank adapters, heads "
        "over a frozen encoder)")  # fmt: skip
    add("--license", metavar="ID", help="license of the model for its card, as an SPDX identifier such as cc-by-4.0")
    add_trust(result)
    return result


def main(words: Sequence[str]) -> Path:
    """Export a trained model.

    Args:
        words: Arguments after ``export``.

    Returns:
        The folder that was written.

    Raises:
        SystemExit: The arguments are invalid, or the model cannot be exported.
    """
    from mlemo.export.export import export
    from mlemo.utils.messages import visible

    own = parser()
    options = own.parse_args(list(words))
    try:
        folder = export(
            options.run, options.output, adapter=options.adapter, license_id=options.license, trust=options.trust
        )
    except (OSError, ValueError) as error:
        own.error(str(error))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    sys.stdout.write(visible(f"written: {folder} ({size / 1e6:.1f} MB)\n"))
    return folder
