"""The documentation: links have targets, pages are in the navigation, code runs, generated parts are up to date."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[Any]:
    for page in PAGES:
        for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8"))):
            if found[1] == language:
                yield pytest.param(found[2], id=f"{page.relative_to(ROOT)}-{number}")


def commands() -> Iterator[Any]:
    """``mlemo fit`` commands of the pages; those of the README are built by tests/test_configs.py."""
    for block in [*blocks("bash"), *blocks("text")]:
        for line in str(block.values[0]).replace("\\\n", " ").splitlines():
            if line.startswith("mlemo fit ") and "…" not in line and "README" not in str(block.id):
                yield pytest.param(shlex.split(line, comments=True)[2:], id=" ".join(line.split())[:80])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http", "#", "mailto")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_every_page_is_in_the_navigation() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = re.findall(r"[\w/]+\.md", yaml.safe_dump(settings["nav"]))
    assert sorted(named) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md"))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_page_of_the_claims_is_what_the_data_give() -> None:
    done = subprocess.run([sys.executable, "docs/claims.py", "--check"], cwd=ROOT, capture_output=True, text=True)  # noqa: PLW1510
    assert not done.returncode, done.stderr


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python_blocks_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    compiled = compile(code, "<documentation>", "exec")
    if "runs/" not in code:  # what a run of its own would be needed for is only compiled
        exec(compiled, {"__name__": "documentation"})


@pytest.mark.parametrize("words", list(commands()))
def test_commands_are_understood(
    words: list[str], fit_parser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    [example] = [str(block.values[0]) for block in blocks("python") if "class SquaredHinge" in str(block.values[0])]
    (tmp_path / "my_losses.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    fit_parser.parse_args(["fit", *words])
