"""``mlemo export``: a trained model as a folder that others use."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from re import ASCII, fullmatch

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
    add("--onnx", action="store_true", help="write model.onnx as well, for onnxruntime (needs mlemo[onnx])")
    add("--int8", action="store_true", help="write model.int8.onnx as well, if its decisions on validation texts hold")
    add("--agreement", type=float, default=0.999, metavar="SHARE", help="smallest share of equal decisions for --int8 "
        "(default: 0.999)")  # fmt: skip
    add("--push", metavar="REPO", help="upload the folder to this repository of the hub, OWNER/NAME")
    add("--private", action="store_true", help="make the repository private, if --push makes it")
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
    from mlemo.export.hub import push
    from mlemo.utils.messages import visible
    from mlemo.utils.program import program

    own = parser()
    options = own.parse_args(list(words))
    if options.license is not None and not fullmatch(r"[\w.+-]+", options.license, ASCII):
        own.error(f"--license must be an SPDX identifier such as cc-by-4.0, found {options.license!r}")
    if not 0 <= options.agreement <= 1:
        own.error(f"--agreement must lie between 0 and 1, found {options.agreement:g}")
    try:
        folder = export(
            options.run,
            options.output,
            adapter=options.adapter,
            onnx=options.onnx,
            int8=options.agreement if options.int8 else None,
            license_id=options.license,
            trust=options.trust,
        )
    except (OSError, ValueError, ImportError) as error:
        own.error(str(error))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    place, start = shlex.quote(str(folder)), program()
    lines = {
        "written": f"{folder} ({size / 1e6:.1f} MB)",
        "classify": f"{start} classify --ckpt {place} --file new.csv --output labeled.csv",
        "serve": f"{start} serve {place}",
    }
    for heading, line in lines.items():
        sys.stdout.write(visible(f"{heading + ':':<10}{line}\n"))
    if options.push is not None:
        try:
            address = push(folder, options.push, options.private)
        except (OSError, ValueError) as error:
            own.error(f"{folder} is written, and cannot be uploaded to {options.push}: {error}")
        sys.stdout.write(visible(f"uploaded: {address}\n"))
    return folder
