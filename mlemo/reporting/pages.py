"""Self-contained HTML pages: no scripts, no external resources, embedded pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["link", "page", "picture", "table"]

STYLE = """
:root { color-scheme: light; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 70rem; margin: 0 auto;
  padding: 0 1rem 2rem; }
h2 { margin: 2rem 0 .25rem; }
.text { font-size: 1.2rem; }
.map { font-size: 1.2rem; line-height: 2; margin: .25rem 0 1rem; overflow-wrap: anywhere; }
.map span { padding: .1em .15em; border-radius: .2em; }
.against { border-bottom: 2px dashed #a04000; }
.unread { color: #767676; text-decoration: line-through; }
figure { margin: 0; }
figcaption { font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { border: 1px solid #ccc; padding: .25rem .5rem; text-align: start; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; }
"""


def page(title: str, body: Iterable[str], style: str = STYLE) -> str:
    """Create a page; its content security policy forbids external resources."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{escape(title)}</h1>",
            *body,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def link(file: str, text: str) -> str:
    """Create a link to a file in the same folder."""
    return f'<a href="{escape(file)}">{escape(text)}</a>'


def picture(png: bytes, alternative: str) -> str:
    """Create an embedded picture with its alternative text."""
    content = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(alternative)}" src="data:image/png;base64,{content}">'


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Create a table; cells have the direction of their text, floats four decimals."""
    cells = "".join(f'<th scope="col" dir="auto">{escape(name)}</th>' for name in head)
    lines = [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows]
    return "\n".join(
        ['<div class="scroll"><table>', f"<thead><tr>{cells}</tr></thead>", "<tbody>", *lines, "</tbody></table></div>"]
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.4f}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value}</td>'
    return f'<td dir="auto">{escape(str(value))}</td>'
