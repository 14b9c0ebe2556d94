"""Rendering of a report as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator

from mlemo.reporting.document import Block, Bullets, Document, Heading, Paragraph, Picture, Table, Verdict
from mlemo.utils.tables import tex_escape, tex_table

__all__ = ["as_latex"]

SECTIONS = {2: "section", 3: "subsection"}
PREAMBLE = r"""\documentclass{article}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\usepackage{booktabs,longtable,graphicx,iftex}
\ifPDFTeX
  \usepackage[utf8]{inputenc}
  \usepackage[T1]{fontenc}
\else
  \usepackage{fontspec}
  \IfFontExistsTF{DejaVu Sans}{\setmainfont{DejaVu Sans}}{}
\fi
\setlength{\LTcapwidth}{\linewidth}
\setlength{\parindent}{0pt}
\setlength{\parskip}{.5\baselineskip}"""
OTHER_SCRIPTS = (
    "% Labels in Arabic, Chinese or another script: compile with XeLaTeX or LuaLaTeX and a font that has them."
)


def as_latex(document: Document, figures: str) -> str:
    """Render the report as a LaTeX document; its parts can be copied to another one that loads the same packages.

    Args:
        document: The report.
        figures: Folder of the figures, relative to the file.
    """
    body = "\n\n".join(line for block in document.blocks for line in _block(block, figures))
    head = [PREAMBLE, rf"\title{{{tex_escape(document.title)}}}", r"\author{}", r"\date{}"]
    lines = [*head, r"\begin{document}", r"\maketitle", "", body, "", r"\end{document}"]
    other = any(character.isalpha() and ord(character) > 0x24F for character in body)
    return "\n".join([OTHER_SCRIPTS, *lines] if other else lines) + "\n"


def _block(block: Block, figures: str) -> Iterator[str]:
    if isinstance(block, Heading):
        yield rf"\{SECTIONS[block.level]}*{{{tex_escape(block.text)}}}"
    elif isinstance(block, Paragraph):
        yield tex_escape(block.text)
    elif isinstance(block, Bullets):
        kind = "enumerate" if block.numbered else "itemize"
        items = [rf"\item {{}}{tex_escape(item)}" for item in block.items]
        yield "\n".join([rf"\begin{{{kind}}}", *items, rf"\end{{{kind}}}"])
    elif isinstance(block, Table):
        table = tex_table(block.head, block.rows, block.text_columns, block.caption)
        yield "\n".join([r"\begingroup\footnotesize", table, r"\endgroup"])
        yield from (rf"{{\footnotesize {tex_escape(remark)}\par}}" for remark in block.remarks)
    elif isinstance(block, Picture):
        picture = (
            rf"\includegraphics[width=\linewidth,height=.75\textheight,keepaspectratio]{{{figures}/{block.name}.pdf}}"
        )
        caption = rf"\textbf{{{tex_escape(block.caption)}}}"
        yield "\n".join([r"\begin{center}", picture + r"\\", caption, r"\end{center}"])
    elif isinstance(block, Verdict):
        title = rf"\textbf{{{tex_escape(block.verdict.capitalize())}}}: {tex_escape(block.claim)}"
        yield rf"\fbox{{\parbox{{.97\linewidth}}{{{title}\par {tex_escape(block.reason)}}}}}"
