"""Imports run one way: a package imports those before it alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "mlemo"

#: Packages and modules at the root, each of which may import those before it.
ORDER = (
    "utils", "labels", "batch", "text", "nn", "losses", "thresholds", "samplers", "metrics", "data", "models", "runs",
    "callbacks", "inference", "classification", "training", "experiments", "reporting", "api", "cli",
)  # fmt: skip
#: Packages whose modules may not import those of the others, in spite of their order.
APART = {("models", "data")}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of everything of mlemo that a module imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" if node.module == "mlemo" else node.module for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name.split(".")[1]) for name in names if name.startswith("mlemo."))


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_those_before_it(package: str) -> None:
    place = ROOT / package
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports mlemo.{name}"
        for path in files
        for line, name in imported(path)
        if name in ORDER and (ORDER.index(name) > ORDER.index(package) or (package, name) in APART)
    ]
    assert not wrong


def test_every_package_has_its_place() -> None:
    found = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found == {*ORDER, "__init__", "__main__"}
