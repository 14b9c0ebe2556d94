"""What became of the rows of a file, for the last lines of the command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["NO_TEXT", "Summary"]

NO_TEXT = "no text"  #: problem of a row whose text is empty
SHOWN = 5  #: problems that are shown with their rows


@dataclass
class Summary:
    """Numbers of rows, and which of them were not classified.

    Args:
        rows: Rows that were read.
        without_text: Rows whose text is empty.
        faulty: Rows with another problem.
        first: Number, from 1, and problem of the first faulty rows.
    """

    rows: int = 0
    without_text: int = 0
    faulty: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, problems: Iterable[str | None], number: int) -> None:
        """Count rows.

        Args:
            problems: Why each was not classified; ``None`` for those that were.
            number: Number of the first of them in the file, from 1.
        """
        for row, problem in enumerate(problems, number):
            self.rows += 1
            if problem == NO_TEXT:
                self.without_text += 1
            elif problem is not None:
                self.faulty += 1
                if len(self.first) < SHOWN:
                    self.first.append((row, problem))

    def lines(self) -> list[str]:
        r"""Describe the rows in lines of text.

        Example:
            >>> summary = Summary()
            >>> summary.add([None, "no text", "2 columns, expected 3"], 1)
            >>> print(*summary.lines(), sep="\n")
            3 rows, of which 2 were not classified: 1 without text, 1 faulty
            row 3: 2 columns, expected 3
        """
        left_out = self.without_text + self.faulty
        if not left_out:
            return [f"{self.rows:,} rows"]
        head = f"{self.rows:,} rows, of which {left_out:,} were not classified: {self.without_text:,} without text"
        lines = [f"{head}, {self.faulty:,} faulty", *(f"row {row:,}: {problem}" for row, problem in self.first)]
        if self.faulty > len(self.first):
            lines.append(f"… {self.faulty - len(self.first):,} more")
        return lines
