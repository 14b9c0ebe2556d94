"""Create the pages of results and the picture of the claims from claims.yaml and the records in `results`.

``python docs/claims.py`` writes docs/results/index.md, docs/results/leaderboard.md and docs/claims.svg; with
``--check`` it exits with 1 if they differ.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import Any

import yaml

from mlemo.reporting.leaderboard import leaderboard, merged
from mlemo.reporting.markdown import as_markdown

DOCS = Path(__file__).resolve().parent
CLAIMS, PAGE, PICTURE = DOCS / "results" / "claims.yaml", DOCS / "results" / "index.md", DOCS / "claims.svg"
RECORDS, BOARD = DOCS.parent / "results", DOCS / "results" / "leaderboard.md"

#: Verdict -> fill of its mark, which also has its name beside it.
VERDICTS = {
    "holds": "#1a7f37",
    "partly": "#7a9a01",
    "open": "#8c8c8c",
    "not shown": "#bf8700",
    "contradicted": "#b3261e",
}
ROW, TOP, WIDTH = 26, 40, 1000

HEAD = """# Results

Claims of the papers, and measurements at a size that two CPU cores can train: small encoders, so our values are
compared with each other, not with the published ones. Macro-F1 unless another metric is named; differences have 95 %
intervals over texts and seeds ([uncertainty](../uncertainty.md)). Settings and all rows: the pages of the systems;
conditions: [what was measured](measured.md).

![Claims of the papers and verdicts](../claims.svg)

| system | claim | published | ours | verdict |
|---|---|---|---|---|
"""

BOARD_HEAD = """# Leaderboard

Made from the records in `results` by `python docs/claims.py`; [results as data](../leaderboard.md) has their form.
"""


def page(claims: list[dict[str, Any]]) -> str:
    """The table, one row per claim."""
    rows = []
    for claim in claims:
        text = f"{claim['claim']} ({claim['paper']})"
        verdict = f"**{claim['verdict']}**: {claim['detail']}".replace("](docs/", "](../")
        ours = claim["ours"].replace("](docs/", "](../")
        cells = (f"[{claim['system']}]({claim['page']}.md)", text, claim["published"], ours, verdict)
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def picture(claims: list[dict[str, Any]]) -> str:
    """The claims with a mark per verdict, as SVG."""
    height = TOP + ROW * len(claims) + 14
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="14">',
        "<title>Claims of the papers and what was measured here</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
        '<g fill="#57606a" font-size="12"><text x="16" y="24">system</text><text x="140" y="24">claim</text>'
        '<text x="570" y="24">measured here</text></g>',
    ]
    for place, claim in enumerate(claims):
        y = TOP + ROW * place + 16
        color, verdict = VERDICTS[claim["verdict"]], escape(f"{claim['verdict']}: {claim['because']}")
        lines += [
            f'<text x="16" y="{y}" fill="#57606a">{escape(claim["system"])}</text>',
            f'<text x="140" y="{y}" fill="#1f2328">{escape(claim["claim"])}</text>',
            f'<circle cx="576" cy="{y - 5}" r="6" fill="{color}"/>',
            f'<text x="590" y="{y}" fill="#1f2328">{verdict}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def board() -> str:
    """The leaderboard of the records in the repository."""
    return as_markdown(leaderboard(merged([RECORDS])), "").replace("# Leaderboard\n", BOARD_HEAD, 1)


def main(words: list[str]) -> int:
    """Write the files, or compare them."""
    claims = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
    stale = []
    for path, text in ((PAGE, page(claims)), (PICTURE, picture(claims)), (BOARD, board())):
        if "--check" not in words:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(DOCS.parent).as_posix())
    if stale:
        print(f"{', '.join(stale)} differ from their data; run: python docs/claims.py", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
