"""Tables as Markdown and LaTeX, for all commands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

__all__ = ["markdown_escape", "markdown_table", "tex_escape", "tex_table"]

# only where they have a meaning: "]" before a character that makes a link of it, so that intervals are not escaped; "_"
# at the ends of words; the marks of headings, lists and quotations at the beginning of a text
MARKDOWN = re.compile(
    r"[\\|*<`~]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)"
    r"|^(?:#(?=[#\s]|$)|>|[+-](?=[\s+-]|$)|\d+[.)](?=\s|$))"
)


def _greek() -> Iterator[tuple[str, str]]:
    """Yield Greek letters with their commands; LaTeX has none for those that look like Latin ones."""
    for code in (*range(0x391, 0x3AA), *range(0x3B1, 0x3CA)):
        _, size, _, name = unicodedata.name(chr(code), "  letter omicron").lower().split(" ", 3)
        name = {"lamda": "lambda", "final sigma": "varsigma"}.get(name, name)
        latin = {"alpha", "beta", "epsilon", "zeta", "eta", "iota", "kappa", "mu", "nu", "rho", "tau", "chi"}
        if size == "small" and name != "omicron":
            yield chr(code), rf"$\{name}$"
        elif size == "capital" and name not in latin | {"omicron"}:
            yield chr(code), rf"$\{name.capitalize()}$"


TEX = str.maketrans(
    {
        **dict(_greek()),
        **{character: "\\" + character for character in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "−": "$-$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "↓": r"$\downarrow$",
        "≤": r"$\le$",
        "≥": r"$\ge$",
        "→": r"$\to$",
        "·": r"$\cdot$",
        "²": r"$^2$",
        "–": "--",
        "“": "``",
        "”": "''",
        "’": "'",
        "…": r"\ldots{}",
    }
)


def markdown_escape(text: str) -> str:
    r"""Escape the special characters of Markdown, in a cell or outside; URLs remain links.

    Example:
        >>> print(markdown_escape("a_b|c* [here](x) [0.1, 0.2]"))
        a_b\|c\* [here\](x) [0.1, 0.2]
    """
    return MARKDOWN.sub(_escaped, " ".join(text.split()))


def _escaped(found: re.Match[str]) -> str:
    return f"{found[0][:-1]}\\{found[0][-1]}"


def tex_escape(text: str) -> str:
    r"""Escape the special characters of LaTeX.

    Example:
        >>> print(tex_escape("50 % of a_b, τ ≥ Δ"))
        50 \% of a\_b, $\tau$ $\ge$ $\Delta$
    """
    return " ".join(text.split()).translate(TEX)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """Create a table in Markdown.

    Args:
        head: Names of the columns.
        rows: Cells.
        text_columns: Number of columns from the left with text; the others are numbers, aligned to the right.
    """
    head, *body = [[markdown_escape(cell) for cell in line] for line in (head, *rows)]
    lines = [head, [":--" if column < text_columns else "--:" for column in range(len(head))], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tex_table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int, caption: str = "") -> str:
    """Create a table in LaTeX, with the rules of the package booktabs.

    Args:
        head: Names of the columns.
        rows: Cells.
        text_columns: Number of columns from the left with text; the others are numbers, aligned to the right.
        caption: Caption of a ``longtable``, which may span pages; without one, a ``tabular`` is created.
    """
    top, *body = [" & ".join(map(tex_escape, line)) + r" \\" for line in (head, *rows)]
    columns = "l" * text_columns + "r" * (len(head) - text_columns)
    rules = [r"\toprule", top, r"\midrule"]
    if caption:
        first = [rf"\caption{{{tex_escape(caption)}}}\\", *rules, r"\endfirsthead"]
        lines = [rf"\begin{{longtable}}{{{columns}}}", *first, *rules, r"\endhead", *body]
        return "\n".join([*lines, r"\bottomrule", r"\end{longtable}"])
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *rules, *body, r"\bottomrule", r"\end{tabular}"])
