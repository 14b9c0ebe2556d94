"""A report as Markdown, LaTeX and a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from mlemo.reporting.document import Bullets, Document, Heading, Paragraph, Picture, Table, Verdict
from mlemo.reporting.html import as_html
from mlemo.reporting.latex import as_latex
from mlemo.reporting.markdown import as_markdown
from mlemo.utils.tables import tex_escape, tex_table

VOID = {"meta", "img", "br", "hr", "link", "input"}
ODD = "50 % of a_b & <b>c</b> #1 ~ ^ {x} \\ | * $2 “q” يوم 快乐 −1 ± 2"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


class Page(HTMLParser):
    """Tags, attributes and text of a page; a tag that is not closed, or closed out of turn, fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def document() -> Document:
    return Document(
        f"Title {ODD}",
        [
            Paragraph(ODD),
            Heading("One & two"),
            Table("Caption_1", ("loss", "F1 ↓"), ((ODD, "0.5 ± 0.1*"), ("b", "–")), 1, ("Remark 1 %",)),
            Heading("Below", 3),
            Picture("figure_1", "Bars_1", "BCE 0.5 [0.4, 0.6]", {"png": b"p", "svg": SVG, "pdf": b"d"}),
            Bullets(("a_1", "b"), numbered=True),
            Bullets((ODD,)),
        ],
    )


def test_the_page_stands_alone_and_is_accessible() -> None:
    text = as_html(document())
    assert text.startswith("<!doctype html>")
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    metas = page.all("meta")
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert any((meta.get("content") or "").startswith("default-src 'none'") for meta in metas)
    assert not page.all("script")
    assert not page.all("link")
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in attributes:
                assert (attributes[name] or "").startswith(("data:image/", "#")), (tag, attributes)
    assert "url(" not in text
    assert "@import" not in text
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {(link["href"] or "")[1:] for link in page.all("a")} <= targets
    (image,) = page.all("img")
    assert image["alt"] == "BCE 0.5 [0.4, 0.6]"
    words = "".join(page.words)
    assert words.count(ODD) >= 4  # escaped and given back: in title, heading, paragraph, cell, list
    assert "BCE 0.5 [0.4, 0.6]" in words
    for box in page.all("div"):  # a table or a picture that is too wide scrolls on its own, by keyboard too
        assert box["class"] == "scroll"
        assert box["tabindex"] == "0"
        assert box["aria-label"]
    assert [cell.get("scope") for cell in page.all("th")] == ["col", "col", "row", "row"]
    style = text[text.index("<style>") : text.index("</style>")]
    assert "prefers-color-scheme: dark" in style
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", style)


def test_latex_is_balanced_and_escaped() -> None:
    text = as_latex(document(), "figures")
    begun, ended = (Counter(re.findall(rf"\\{word}{{(\w+)}}", text)) for word in ("begin", "end"))
    assert begun == ended
    assert begun["longtable"] == begun["enumerate"] == begun["itemize"] == begun["center"] == 1
    body = text[text.index(r"\begin{document}") :]
    plain = re.sub(r"\\[&%$#_{}\\]", "", body)
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert not set("%#_~^") & set(re.sub(r"\{figures/figure_1\.pdf\}", "", plain))
    assert r"\includegraphics[width=\linewidth,height=.75\textheight,keepaspectratio]{figures/figure_1.pdf}" in body
    for package in ("booktabs", "longtable", "graphicx"):
        assert re.search(rf"\\usepackage.*{{.*{package}.*}}", text)
    assert [
        len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines() if line.endswith(r"\\") and "&" in line
    ] == [
        1,
        1,
        1,
        1,
    ]
    assert text.startswith("% Labels in Arabic, Chinese or another script: compile with XeLaTeX or LuaLaTeX")
    assert as_latex(Document("Plain", [Paragraph("a ± b")]), "figures").startswith(r"\documentclass")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    greek = "αβγδεζηθικλμνξπρςστυφχψω ΓΔΘΛΞΠΣΥΦΨΩ ≤ ≥ ± − × ↓ → · ² “a” – … ’"
    blocks = [
        Heading("Thresholds τ & co."),
        Paragraph(greek),
        Verdict("not shown", "τ < 0.5 is better_", "F1 (%): +1.00 [−1.00, 3.00]"),
        Table(greek, ("τ", "F1 ↓"), (("τ = 0.5", "1.00 ± 0.10"),), 1, (greek,)),
        Bullets((greek,)),
    ]
    (tmp_path / "report.tex").write_text(as_latex(Document(f"Title {greek}", blocks), "figures"), encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    assert (tmp_path / "report.pdf").stat().st_size > 1000


def test_escapes_of_latex() -> None:
    assert tex_escape(r"a_b & 5 % \ {c} ~^") == (
        r"a\_b \& 5 \% \textbackslash{} \{c\} \textasciitilde{}\textasciicircum{}"
    )
    assert tex_escape("−1 ± 2 ↓") == r"$-$1 $\pm$ 2 $\downarrow$"
    assert tex_table(("a", "b"), (("c", "1"),), 1).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a & b \\",
        r"\midrule",
        r"c & 1 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_markdown_tables_have_as_many_cells_in_every_line() -> None:
    text = as_markdown(document(), "figures")
    lines = [re.sub(r"\\.", "", line) for line in text.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in lines] == [3] * 4
    assert lines[1] == "| :-- | --: |"
    assert "![BCE 0.5 (0.4, 0.6)](figures/figure_1.png)" in text
    assert "\n1. a_1\n2. b\n" in text
    assert r"\<b>c\</b>" in text
    assert text.splitlines()[0].startswith("# Title 50 %")
    assert "\n### Below\n" in text


ODD_TEXTS = (
    "[here](http://a.b)", "![x](y)", "[a][b]", "[a]: http://a.b 'c'", "[^1]: note", "<b>&lt;</b>", "`a`", "*a* **b**",
    "_a_ __init__ a_b", "~~a~~ ~b~", "# a", "#", "> a", "- a", "+ a", "+0.5", "-0.5", "1. a", "12) a", "1.5", "---",
    "a\\", "a|b", "[0.1, 0.2]", "&amp; R&D &#35;", "***", "+ ", "a\n\n# b", "[ ] a", "\\[a](b)", "#tag", "| a |",
    "a\r\n- b",
)  # fmt: skip


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_texts_mean_nothing_to_markdown(text: str) -> None:
    def words(kind: str) -> list[str]:
        content = as_markdown(Document("T", [blocks[kind]]), "figures").removeprefix("# T\n")
        html = markdown.render(content)
        assert set(re.findall(r"<(\w+)", html)) <= set(kind.split()), html
        return [unescape(cell).strip() for cell in re.split(r"<[^>]*>", html) if cell.strip()]

    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    shown = " ".join(text.split())
    blocks = {
        "p": Paragraph(text),
        "h2": Heading(text),
        "ul li": Bullets((text, "b")),
        "p strong table thead tbody tr th td": Table(text, (text, "n"), ((text, "1"),), 1, (text,)),
    }
    assert [words(kind) for kind in blocks] == [[shown], [shown], [shown, "b"], [shown, shown, "n", shown, "1", shown]]


@pytest.mark.parametrize("write", [as_html, lambda it: as_latex(it, "f"), lambda it: as_markdown(it, "f")])
def test_an_empty_report_can_be_written(write: Any) -> None:
    assert "Nothing" in write(Document("Nothing"))
