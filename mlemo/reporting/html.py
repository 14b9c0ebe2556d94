"""Rendering of a report as a self-contained HTML page: no scripts, no external resources, embedded figures."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from mlemo.reporting.document import Block, Bullets, Document, Heading, Paragraph, Picture, Table, Verdict
from mlemo.reporting.pages import page

__all__ = ["as_html", "fragment"]

STYLE = """
:root { color-scheme: light dark; --text: #111; --ground: #fff; --line: #bbb; --stripe: #f3f3f3; --link: #0050a0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #eee; --ground: #161616; --line: #555; --stripe: #222; --link: #9cf; }
}
body { font: 1rem/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif; color: var(--text);
  background: var(--ground); max-width: 75rem; margin: 0 auto; padding: 0 1rem 2rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
a { color: var(--link); }
nav ul { columns: 16rem; padding-left: 1.2rem; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll:focus-visible { outline: 2px solid var(--link); }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: start; font-weight: 600; padding: 1rem 0 .25rem; }
caption span { display: block; position: sticky; left: 0; width: max-content;
  max-width: min(calc(100vw - 2rem), 70rem); }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: start; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); border-top: 2px solid var(--line); vertical-align: bottom; }
tbody th { font-weight: 400; }
tbody tr:nth-child(even) { background: var(--stripe); }
.number { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums; }
.remark { font-size: .9rem; margin: .25rem 0; }
figure { margin: 1.5rem 0; }
figcaption { font-weight: 600; }
figure img { display: block; background: #fff; }  /* in its own size, so that its words can be read on a phone */
details { font-size: .9rem; margin: .25rem 0; }
.verdict { border: 1px solid var(--line); border-left: .5rem solid var(--line); border-radius: .25rem;
  padding: .5rem 1rem; margin: .5rem 0; }
.verdict p { margin: .25rem 0; }
.holds { border-left-color: #009e73; }
.partly { border-left-color: #56b4e9; }
.contradicted { border-left-color: #d55e00; }
@media print {
  :root { color-scheme: light; --text: #000; --ground: #fff; --line: #888; --stripe: #fff; --link: #000; }
  body { max-width: none; font-size: 9pt; }
  nav, details { display: none; }
  h2, h3, caption { break-after: avoid; }
  figure, .verdict, tr { break-inside: avoid; }
}
@media print { .scroll { overflow: visible; } figure img { max-width: 100%; height: auto; } }
"""


def as_html(document: Document) -> str:
    """Render the report as a page; its content security policy forbids external resources."""
    sections = [block.text for block in document.blocks if isinstance(block, Heading) and block.level == 2]
    links = (
        f'<li><a href="#section-{number}">{escape(text)}</a></li>' for number, text in enumerate(sections, start=1)
    )
    lines = [f'<nav aria-label="Sections"><ul>{"".join(links)}</ul></nav>']
    section = 0
    for block in document.blocks:
        if isinstance(block, Heading) and block.level == 2:
            section += 1
            lines.append(f'<h2 id="section-{section}">{escape(block.text)}</h2>')
        else:
            lines.extend(fragment(block))
    return page(document.title, lines, STYLE)


def fragment(block: Block) -> Iterator[str]:
    """Render one block as lines of HTML; a figure as SVG if available, else as PNG."""
    if isinstance(block, Heading):
        yield f'<h{block.level} dir="auto">{escape(block.text)}</h{block.level}>'
    elif isinstance(block, Paragraph):
        yield f'<p dir="auto">{escape(block.text)}</p>'
    elif isinstance(block, Bullets):
        kind = "ol" if block.numbered else "ul"
        items = "".join(f'<li dir="auto">{escape(item)}</li>' for item in block.items)
        yield f"<{kind}>{items}</{kind}>"
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Verdict):
        kind, claim = (
            block.verdict.replace(" ", "-"),
            f"<strong>{block.verdict.capitalize()}</strong>: {escape(block.claim)}",
        )
        yield f'<div class="verdict {kind}"><p dir="auto">{claim}</p><p dir="auto">{escape(block.reason)}</p></div>'
    elif isinstance(block, Picture):
        suffix, kind = ("svg", "svg+xml") if "svg" in block.files else ("png", "png")
        content = base64.b64encode(block.files[suffix]).decode("ascii")
        alternative, caption = escape(block.alternative), escape(block.caption)
        picture = f'<img alt="{alternative}" src="data:image/{kind};base64,{content}">'
        yield f"<figure><figcaption>{caption}</figcaption>{_scroll(block.caption, picture)}"
        yield f"<details><summary>The figure in words</summary><p>{alternative}</p></details></figure>"


def _table(table: Table) -> Iterator[str]:
    number = ' class="number"'
    head = "".join(
        f'<th scope="col"{number if column >= table.text_columns else ""} dir="auto">{escape(name)}</th>'
        for column, name in enumerate(table.head)
    )
    lines = [f"<caption><span>{escape(table.caption)}</span></caption>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in table.rows:
        texts = (f'<th scope="row" dir="auto">{escape(cell)}</th>' for cell in row[: table.text_columns])
        numbers = (f"<td{number}>{escape(cell)}</td>" for cell in row[table.text_columns :])
        lines.append(f"<tr>{''.join(texts)}{''.join(numbers)}</tr>")
    yield _scroll(table.caption, "\n".join(["<table>", *lines, "</tbody>", "</table>"]))
    yield from (f'<p class="remark">{escape(remark)}</p>' for remark in table.remarks)


def _scroll(name: str, content: str) -> str:
    """Wrap content in a box with its own scroll bar and keyboard focus, so that the page does not scroll sideways."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{content}</div>'
