"""Tables as Markdown and LaTeX, for every command that writes one."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["markdown_escape", "markdown_table", "tex_escape", "tex_table"]

# only where they mean something: "]" before what makes a link of it, so that intervals can be read as they are; "_" at
# the ends of words; the marks of headings, lists and quotations where a text begins
MARKDOWN = re.compile(
    r"[\\|*<`~]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)"
    r"|^(?:#(?=[#\s]|$)|>|[+-](?=[\s+-]|$)|\d+[.)](?=\s|$))"
)
TEX = str.maketrans(
    {
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
        "–": "--",
        "“": "``",
        "”": "''",
        "’": "'",
        "…": r"\ldots{}",
    }
)


def markdown_escape(text: str) -> str:
    r"""Text whose characters mean nothing to Markdown, in a cell or outside; addresses are left to be links.

    Example:
        >>> print(markdown_escape("a_b|c* [here](x) [0.1, 0.2]"))
        a_b\|c\* [here\](x) [0.1, 0.2]
    """
    return MARKDOWN.sub(_escaped, " ".join(text.split()))


def _escaped(found: re.Match[str]) -> str:
    return f"{found[0][:-1]}\\{found[0][-1]}"


def tex_escape(text: str) -> str:
    r"""Text whose characters mean nothing to LaTeX.

    Example:
        >>> print(tex_escape("50 % of a_b"))
        50 \% of a\_b
    """
    return " ".join(text.split()).translate(TEX)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """A table in Markdown.

    Args:
        head: Names of the columns.
        rows: Its cells.
        text_columns: How many columns from the left hold text; the others hold numbers and stand to the right.
    """
    head, *body = [[markdown_escape(cell) for cell in line] for line in (head, *rows)]
    lines = [head, [":--" if column < text_columns else "--:" for column in range(len(head))], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tex_table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int, caption: str = "") -> str:
    """A table in LaTeX, with the rules of the package booktabs.

    Args:
        head: Names of the columns.
        rows: Its cells.
        text_columns: How many columns from the left hold text; the others hold numbers and stand to the right.
        caption: Makes it a ``longtable``, which may go over pages, with this text above; else it is a ``tabular``.
    """
    top, *body = [" & ".join(map(tex_escape, line)) + r" \\" for line in (head, *rows)]
    columns = "l" * text_columns + "r" * (len(head) - text_columns)
    rules = [r"\toprule", top, r"\midrule"]
    if caption:
        first = [rf"\caption{{{tex_escape(caption)}}}\\", *rules, r"\endfirsthead"]
        lines = [rf"\begin{{longtable}}{{{columns}}}", *first, *rules, r"\endhead", *body]
        return "\n".join([*lines, r"\bottomrule", r"\end{longtable}"])
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *rules, *body, r"\bottomrule", r"\end{tabular}"])
