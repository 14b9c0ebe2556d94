"""Rendering of a report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from mlemo.reporting.document import Block, Bullets, Document, Heading, Paragraph, Picture, Table, Verdict
from mlemo.utils.tables import markdown_escape, markdown_table

__all__ = ["as_markdown"]


def as_markdown(document: Document, figures: str) -> str:
    """Render the report as Markdown.

    Args:
        document: The report.
        figures: Folder of the figures, relative to the file.
    """
    blocks = [f"# {markdown_escape(document.title)}"]
    for block in document.blocks:
        blocks.extend(_block(block, figures))
    return "\n\n".join(blocks) + "\n"


def _block(block: Block, figures: str) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"{'#' * block.level} {markdown_escape(block.text)}"
    elif isinstance(block, Paragraph):
        yield markdown_escape(block.text)
    elif isinstance(block, Bullets):
        marks = [f"{number}." if block.numbered else "-" for number in range(1, len(block.items) + 1)]
        yield "\n".join(f"{mark} {markdown_escape(item)}" for mark, item in zip(marks, block.items))
    elif isinstance(block, Table):
        yield f"**{markdown_escape(block.caption)}**"
        yield markdown_table(block.head, block.rows, block.text_columns)
        yield from map(markdown_escape, block.remarks)
    elif isinstance(block, Picture):
        # a bracket would end the alternative text
        alternative = markdown_escape(block.alternative).translate({ord("["): "(", ord("]"): ")"})
        yield f"![{alternative}]({figures}/{block.name}.png)"
        yield f"**{markdown_escape(block.caption)}**"
    elif isinstance(block, Verdict):
        claim, reason = markdown_escape(block.claim), markdown_escape(block.reason)
        yield f"> **{block.verdict.capitalize()}**: {claim}\n>\n> {reason}"
