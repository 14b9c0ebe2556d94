"""Options of ``mlemo classify``."""

from __future__ import annotations

from pathlib import Path

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["parser"]

DESCRIPTION = """Label sentences, or the lines of a file, with a trained checkpoint."""


def parser() -> CommandParser:
    """The options of ``mlemo classify``."""
    result = CommandParser("classify", DESCRIPTION)
    add = result.add_argument
    add("texts", nargs="*", metavar="TEXT", help="sentences; none reads lines from standard input")
    add("--ckpt", required=True, metavar="PATH", help="checkpoint file, or folder of a run")
    add("--file", type=Path, help="a text file, one text a line (UTF-8)")
    add("--json", action="store_true", help="one JSON object a line instead of a table")
    add("--device", default="cpu", help="where to compute, such as cuda (default: cpu)")
    add_trust(result)
    return result
