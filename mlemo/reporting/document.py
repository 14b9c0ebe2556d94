"""The format-independent parts of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Block", "Bullets", "Document", "Heading", "Paragraph", "Picture", "Table", "Verdict"]


@dataclass(frozen=True)
class Heading:
    """A heading of a section.

    Args:
        text: Text of the heading.
        level: 2 for a section, 3 for a part of one; 1 is the title.
    """

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of remarks.

    Args:
        items: The remarks.
        numbered: Whether the remarks are numbered.
    """

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: Description of the table.
        head: Names of the columns.
        rows: Cells.
        text_columns: Number of columns from the left with text.
        remarks: Remarks below the table.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A figure.

    Args:
        name: Name of the files, without suffix.
        caption: What it shows.
        alternative: Alternative text with all numbers, for readers who cannot see the figure.
        files: Content by suffix: ``png``, ``svg`` and ``pdf``.
    """

    name: str
    caption: str
    alternative: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Verdict:
    """A verdict in a box of its own.

    Args:
        verdict: ``holds``, ``partly``, ``contradicted``, ``not shown`` or ``open``.
        claim: The claim.
        reason: The numbers that the verdict is from.
    """

    verdict: str
    claim: str
    reason: str


Block: TypeAlias = Heading | Paragraph | Bullets | Table | Picture | Verdict


@dataclass
class Document:
    """A report.

    Args:
        title: Title of the report.
        blocks: Parts of the report, in order.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        """The figures of the report."""
        return [block for block in self.blocks if isinstance(block, Picture)]
