"""Input texts of commands, by line, and output of results as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.utils.messages import cell

if TYPE_CHECKING:
    from mlemo.inference import Classified

__all__ = ["print_table", "text_lines"]


def text_lines(file: Path | None) -> list[str]:
    """Read the nonempty lines of a text file or of the standard input.

    Args:
        file: The file; ``None`` for the standard input.

    Raises:
        ValueError: The file cannot be read, or is not UTF-8; the message has the line.
    """
    name = "standard input" if file is None else str(file)
    try:
        # the bytes, since a text stream also ends lines at a carriage return inside a text
        stream = getattr(sys.stdin, "buffer", None)
        content = (
            (sys.stdin.read().encode() if stream is None else stream.read()) if file is None else file.read_bytes()
        )
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"cannot read {name}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; save the text as UTF-8"
        ) from None
    # not splitlines(), which also splits at characters inside texts, such as U+2028
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]


def print_table(results: Sequence[Classified]) -> None:
    """Print each text with its labels and the highest probabilities."""
    from rich.console import Console
    from rich.table import Table

    table = Table("text", "labels", "highest probabilities", show_lines=True)
    for result in results:
        highest = sorted(result.probabilities.items(), key=lambda item: -item[1])[:4]
        table.add_row(
            cell(result.text),
            cell(", ".join(result.labels) or "(none)"),
            cell("\n".join(f"{probability:.3f} {name}" for name, probability in highest)),
        )
    Console().print(table)
