"""The notebooks: executed on tiny runs, every cell with something to show, and nothing defined in them."""

from __future__ import annotations

import ast
import base64
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from mlemo.experiments.reproduce import reproduce
from mlemo.experiments.study_file import load_study

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = ("label_shuffling", "losses_and_metrics", "thresholds", "batch_selection", "graph", "mistakes")
#: Notebooks that train, and what makes their trainings tiny.
TRAINING = {
    "00_start": {"size=1000": "size=48", "val_size=300": "val_size=24", "test_size=500": "test_size=24",
                 "max_epochs=4": "max_epochs=1", "layers=2, width=128, heads=4": "layers=1, width=32, heads=2"},
    "ablate": {'"data.size": 1000': '"data.size": 48', '"data.val_size": 300': '"data.val_size": 24',
               '"data.test_size": 500': '"data.test_size": 24, "model.encoder.layers": 1, '
                                        '"trainer.logger": "CSVLogger"',
               "max_epochs=3": "max_epochs=1", "../runs": "runs"},
    "paper_ablations": {'"data.size": 1000': '"data.size": 48', '"data.val_size": 300': '"data.val_size": 24',
                        '"data.test_size": 500': '"data.test_size": 24', "../runs": "runs",
                        '"trainer.max_epochs": 4': '"trainer.max_epochs": 1, "trainer.log_every_n_steps": 1'},
}  # fmt: skip
CONFIG = """import os

SCALE = os.environ.get("MLEMO_SCALE", "small")
FOLDER = os.environ.get("MLEMO_STUDIES", "runs/studies")"""
# the fewest runs that give every cell something to show
RUNS = {
    "wdl-orders": {"order": ["WDL1"]},
    "wdl-weights": {"order": ["WDL1"], "weighting": ["monotone", "softmax"]},
    "soft-losses": {"loss": ["SM-F1", "BCE"]},
    "sigmoidf1": {"loss": ["BCE"]},
    "batch-selection": {"network": ["DELA"], "selection": ["Random", "Adaptive"]},
    "gthl-graphs": {"system": ["GTHL-Emo"]},
    "gthl-ablation": {"system": ["GTHL-Emo", "w/o GraphSAGE"]},
    "gthl-interpret": {"corpus": ["synthetic"]},
}
IN_WORDS = (".introduction()", ".overall()")  # cells that may show neither a table nor a figure
PICTURE = r'<img alt="[^"]{40,}" src="data:image/png;base64,'


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook: Any, kernel: KernelManager) -> None:
    """Fill in its outputs; the kernel stays, and forgets what a notebook before left in it."""
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client = NotebookClient(notebook, km=kernel, timeout=300)
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
        del notebook.cells[0]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    for name, chosen in RUNS.items():
        assert not reproduce(load_study(name), "tiny", folder, only=chosen).failures
    return folder


@pytest.fixture(scope="module")
def kernel(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    """One for all notebooks, as importing everything takes longer than a notebook."""
    manager = KernelManager(kernel_name="python3")
    environment = {**os.environ, "MLEMO_SCALE": "tiny", "MLEMO_STUDIES": str(studies), "OMP_NUM_THREADS": "1"}
    manager.start_kernel(env=environment, cwd=str(tmp_path_factory.mktemp("kernel")))
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_shows_what_it_should(kernel: KernelManager, name: str) -> None:
    notebook = read(name)
    execute(notebook, kernel)
    for cell in code(notebook):
        shows = isinstance(ast.parse(cell.source).body[-1], ast.Expr)
        assert [output.output_type for output in cell.outputs] == (["execute_result"] if shows else []), cell.source
        if not shows:
            continue
        html = cell.outputs[0].data["text/html"]
        assert "Missing:" not in html
        assert "object at 0x" not in cell.outputs[0].data["text/plain"]
        if ".figure(" in cell.source:
            assert re.search(PICTURE, html)
        elif not cell.source.endswith(IN_WORDS):
            assert re.search(rf'<td class="number">[−+]?[0-9]|{PICTURE}', html)


def test_the_closed_form_is_the_mean_of_all_orders(kernel: KernelManager) -> None:
    notebook = read("label_shuffling")
    notebook.cells = code(notebook)[:2]
    execute(notebook, kernel)
    table = notebook.cells[-1].outputs[0].data["text/plain"]
    rows = [
        [float(cell) for cell in line.split("|")[2:6]] for line in table.splitlines() if re.match(r"\| (bce|d)", line)
    ]
    assert len(rows) == 5
    assert all(closed == mean for closed, mean, *_ in rows)
    assert all(low < closed < high for closed, _, low, high in rows[2:])


@pytest.mark.parametrize("name", TRAINING)
def test_a_notebook_that_trains_runs_as_printed(kernel: KernelManager, name: str) -> None:
    if name == "ablate" and "MLEMO_LONG" not in os.environ:
        pytest.skip("six runs in processes of their own take a minute or two; set MLEMO_LONG")
    notebook = read(name)
    nbformat.validate(notebook)
    assert not any(cell.outputs or cell.execution_count for cell in code(notebook))
    for long, short in TRAINING[name].items():
        assert sum(cell.source.count(long) for cell in code(notebook)) == 1, long
        for cell in code(notebook):
            cell.source = cell.source.replace(long, short)
    execute(notebook, kernel)
    shown = {cell.source.splitlines()[-1]: cell.outputs for cell in code(notebook)}
    assert all(outputs for outputs in shown.values()), [source for source, outputs in shown.items() if not outputs]
    if name == "paper_ablations":
        done = [outputs for source, outputs in shown.items() if source.endswith(".run(workers=2)")]
        assert len(done) == 5
        for count, outputs in zip((5, 4, 5, 6, 4), done):
            (progress,) = (output for output in outputs if output.output_type == "display_data")
            assert f"{count} of {count} runs" in progress.data["text/html"]
    if name == "ablate":
        states = shown["study"][-1].data["text/html"]
        assert states.count(">done<") == 6
        (progress,) = (output for output in shown["study.run(workers=2)"] if output.output_type == "display_data")
        assert "6 of 6 runs" in progress.data["text/html"]
        assert progress.data["text/html"].count("<li>") == 6
        assert "PNG" in str(base64.b64decode(re.search(r"base64,([^\"]+)", _html(shown, "study.forest"))[1])[:8])
        assert "weight/d0" in _html(shown, "study.curves")


def _html(shown: dict[str, Any], call: str) -> str:
    (found,) = (outputs for source, outputs in shown.items() if source.startswith(call))
    return found[-1].data["text/html"]


def test_there_are_these_notebooks() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {*NOTEBOOKS, *TRAINING}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.ipynb`" in readme for name in (*NOTEBOOKS, *TRAINING))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_calls_the_library_and_defines_nothing(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert code(notebook)[0].source == CONFIG
    assert not re.search(r"/(home|root|tmp|work|Users)/", (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    tree = ast.parse("\n".join(cell.source for cell in code(notebook)))
    made = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.Try)
    assert not [node for node in ast.walk(tree) if isinstance(node, made)]
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert all(module and module.startswith("mlemo") for module in imported)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_commands_above_make_the_runs_that_it_reads(name: str) -> None:
    notebook = read(name)
    lines = [line for line in notebook.cells[0].source.splitlines() if line.startswith("mlemo reproduce ")]
    made = set()
    for line in lines:
        study, *words = shlex.split(line)[2:]
        options = [(option, *value.partition("=")[::2]) for option, value in zip(words[::2], words[1::2], strict=True)]
        only = {key: [value] for option, key, value in options if option == "--only"}
        assert ("--scale", "small", "") in options
        variables = {key: value for option, key, value in options if option == "--set"}
        part = load_study(study).only(only) if only else load_study(study)
        assert part.expand("small", variables)
        made.add(study)
    read_here = set(re.findall(r'StudyView\("([^"]+)"', "\n".join(cell.source for cell in code(notebook))))
    assert made == read_here
