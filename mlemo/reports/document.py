"""What a report is made of, whatever it is written as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Block", "Bullets", "Document", "Heading", "Paragraph", "Picture", "Table"]


@dataclass(frozen=True)
class Heading:
    """A heading of a section.

    Args:
        text: Its words.
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
        numbered: Whether they have numbers to be named by.
    """

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: What it shows.
        head: Names of the columns.
        rows: Its cells.
        text_columns: How many columns from the left hold text.
        remarks: What stands below it.
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
        name: Name of its files, without suffix.
        caption: What it shows.
        alternative: The same in words and numbers, for who cannot see it.
        files: Its content by suffix: ``png``, ``svg`` and ``pdf``.
    """

    name: str
    caption: str
    alternative: str
    files: dict[str, bytes]


Block: TypeAlias = Heading | Paragraph | Bullets | Table | Picture


@dataclass
class Document:
    """A report.

    Args:
        title: Its title.
        blocks: What it says, in order.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        """Its figures."""
        return [block for block in self.blocks if isinstance(block, Picture)]
