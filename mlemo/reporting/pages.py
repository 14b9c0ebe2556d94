"""Self-contained HTML pages: no external resources, embedded pictures, and one script, of tables with filters."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["filtered_table", "link", "page", "picture", "table"]

STYLE = """
:root { color-scheme: light dark; --text: #111; --ground: #fff; --line: #bbb; --link: #0050a0; }
@media (prefers-color-scheme: dark) { :root { --text: #eee; --ground: #161616; --line: #555; --link: #9cf; } }
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); max-width: 75rem;
  margin: 0 auto; padding: 0 1rem 2rem; overflow-wrap: break-word; }
a { color: var(--link); }
h2 { margin: 2rem 0 .25rem; }
.text { font-size: 1.2rem; }
.map { font-size: 1.2rem; line-height: 2; margin: .25rem 0 1rem; padding: .25rem; overflow-wrap: anywhere;
  color: #111; background: #fff; }  /* the colors of words are made for a white ground */
.map span { padding: .1em .15em; border-radius: .2em; }
.against { border-bottom: 2px dashed #a04000; }
.unread { color: #767676; text-decoration: line-through; }
figure { margin: 0; }
figcaption { font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; text-align: start; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; background: #fff; }
.filters { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: end; margin: 1rem 0 .5rem; }
.filters[hidden] { display: none; }
.filters label { display: flex; flex-direction: column; max-width: 100%; }
.filters :is(select, input, button) { font: inherit; padding: .25rem; max-width: 100%; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media print {
  :root { color-scheme: light; --text: #000; --ground: #fff; --line: #888; --link: #000; }
  .filters { display: none; }
  .scroll { overflow: visible; }
  tr, img { break-inside: avoid; }
}
"""

#: Hides the rows of a table that do not fit the choices of the form before it. Without scripts the form stays hidden.
SCRIPT = """
for (const form of document.querySelectorAll("form.filters")) {
  const rows = [...form.nextElementSibling.querySelectorAll("tbody tr")];
  const contents = rows.map((row) => row.textContent.toLowerCase());
  const [choices, search, count] = [[...form.querySelectorAll("select")], form.elements.search, form.elements.count];
  const apply = () => {
    const wanted = search.value.trim().toLowerCase();
    const chosen = choices.filter((choice) => choice.value);
    let shown = 0;
    rows.forEach((row, place) => {
      const fits = chosen.every((choice) => row.cells[choice.dataset.column].textContent === choice.value);
      row.hidden = !fits || !contents[place].includes(wanted);
      shown += !row.hidden;
    });
    count.value = `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}
"""
#: The one script that a page may run, by its checksum.
SCRIPT_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"


def page(title: str, body: Iterable[str], style: str = STYLE) -> str:
    """Create a page; its content security policy forbids external resources, and scripts other than `SCRIPT`."""
    body = list(body)
    scripted = any('<form class="filters"' in part for part in body)
    script_source = f"; script-src {SCRIPT_SOURCE}" if scripted else ""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" '
            f"content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'{script_source}\">",
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{escape(title)}</h1>",
            *body,
            "</main>",
            *([f"<script>{SCRIPT}</script>"] if scripted else []),
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
    # with keyboard focus, so that its scroll bar can be reached
    scroll = f'<div class="scroll" role="region" tabindex="0" aria-label="table of {escape(", ".join(head))}"><table>'
    return "\n".join([scroll, f"<thead><tr>{cells}</tr></thead>", "<tbody>", *lines, "</tbody></table></div>"])


def filtered_table(head: Sequence[str], rows: Iterable[Sequence[object]], choices: Sequence[str]) -> str:
    """Create a table below a form that selects its rows by the values of some columns and by a search for words.

    Args:
        head: Names of the columns.
        rows: Cells.
        choices: Columns of which one value can be chosen; a column with one value for all rows has no choice.
    """
    rows = list(rows)
    fields = []
    for name in choices:
        column = list(head).index(name)
        values = sorted({str(row[column]) for row in rows})
        options = "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)
        if len(values) > 1:
            fields.append(
                f'<label>{escape(name)}<select data-column="{column}"><option value="">all</option>{options}</select>'
                "</label>"
            )
    return "\n".join(
        [
            '<form class="filters" hidden>',
            *fields,
            '<label>search<input type="search" name="search"></label>',
            '<button type="reset">show all</button>',
            '<output name="count" aria-live="polite"></output>',
            "</form>",
            table(head, rows),
        ]
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.4f}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value}</td>'
    return f'<td dir="auto">{escape(str(value))}</td>'
