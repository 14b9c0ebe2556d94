"""What ``mlemo`` offers: listed for tab completion and type checkers, and imported when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlemo


def test_nothing_heavy_is_imported_before_a_name_is_used() -> None:
    code = (
        "import sys, mlemo; dir(mlemo); mlemo.__version__; "
        "heavy = {'torch', 'lightning', 'pandas', 'numpy', 'transformers', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy; import mlemo.cli; mlemo.LabelSpace; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_dir_lists_the_public_names_and_each_is_there() -> None:
    expected = {"ablate", "fit", "load", "Experiment", "data", "models", "losses", "thresholds", "metrics", "samplers"}
    assert expected | {"callbacks", "text", "Ablation", "Classifier", "LabelSpace"} <= set(dir(mlemo))
    assert dir(mlemo) == sorted(mlemo.__all__)
    for name in dir(mlemo):
        assert getattr(mlemo, name) is not None
    assert mlemo.losses.FocalLoss.__name__ == "FocalLoss"
    with pytest.raises(AttributeError, match="module 'mlemo' has no attribute 'ablat'"):
        _ = mlemo.ablat  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(mlemo.__file__).read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    names = [alias.asname for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(map(str, names)) == mlemo.__all__[1:]
