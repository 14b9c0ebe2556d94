"""The predictions file: what is written is read back, whatever the labels are called."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mlemo.cli import main
from mlemo.labels import LabelSpace
from mlemo.runs.predictions import Predictions, read_predictions, write_predictions

COLUMNS = ("id", "gold", "decided", "not_annotated")
AWKWARD = ("gold:joy", "joy", "a b", "a", "b", "x,y", 'say "no"', "two\nlines", "a\rb", "nan", "0", " edge ", "喜")


def invented(path: Path, names: tuple[str, ...], annotated: float = 0.8) -> Predictions:
    draw = torch.Generator().manual_seed(0)
    ids = ["00", "NA", "a,b", 'a"b', "two\nlines", "a\rb", ""]
    gold, mask, decided, probabilities = (torch.rand(len(ids), len(names), generator=draw) for _ in range(4))
    known = mask < annotated
    return Predictions(path, LabelSpace(names), ids, (gold < 0.4) & known, known, decided < 0.5, probabilities)


def test_the_file_is_what_pandas_writes_with_every_text_quoted(tmp_path: Path) -> None:
    written = invented(tmp_path / "predictions_test.csv", AWKWARD)
    written.probabilities[:, 0] = torch.tensor([0.0, 1.0, 1e-5, 1e-30, 0.1, 1 / 3, 1e-4])
    write_predictions(written)
    gold = written.gold.int().numpy().astype(object)
    gold[~written.mask.numpy()] = ""
    parts = {"gold:": gold, "decided:": written.decided.int().numpy(), "probability:": written.probabilities.double()}
    tables = [pd.DataFrame(part, columns=[prefix + name for name in AWKWARD]) for prefix, part in parts.items()]
    table = pd.concat([pd.DataFrame({"id": written.ids}), *tables], axis=1)
    assert written.path.read_bytes() == table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode()


@pytest.mark.parametrize("annotated", [0.8, 2])
@pytest.mark.parametrize("names", [("joy", "anger"), COLUMNS, AWKWARD], ids=["plain", "columns", "awkward"])
def test_any_label_and_any_id_is_read_as_it_was_written(
    names: tuple[str, ...], annotated: float, tmp_path: Path
) -> None:
    written = invented(tmp_path / "predictions_test.csv", names, annotated)
    write_predictions(written)
    found = read_predictions(written.path)
    assert found.label_space.names == names
    assert (found.ids, found.rule) == (written.ids, "")
    for name in ("gold", "mask", "decided", "probabilities"):
        assert torch.equal(getattr(found, name), getattr(written, name)), name


def test_a_label_has_columns_of_its_own(tmp_path: Path) -> None:
    space = LabelSpace(("joy", "id"))
    gold, mask = torch.tensor([[True, False], [False, False]]), torch.tensor([[True, True], [True, False]])
    probabilities = torch.tensor([[0.75, 0.5], [0.25, 1.0]])
    path = tmp_path / "predictions_val.csv"
    write_predictions(Predictions(path, space, ["a", "b"], gold, mask, ~gold, probabilities))
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [
            {
                **{"id": "a", "gold:joy": "1", "gold:id": "0", "decided:joy": "0", "decided:id": "1"},
                **{"probability:joy": "0.75", "probability:id": "0.5"},
            },
            {
                **{"id": "b", "gold:joy": "0", "gold:id": "", "decided:joy": "1", "decided:id": "1"},
                **{"probability:joy": "0.25", "probability:id": "1.0"},
            },
        ]


@pytest.mark.filterwarnings("ignore:.*")  # the other tests look after the warnings of tiny runs
def test_a_run_whose_labels_are_called_as_columns_leaves_all_of_them(tmp_path: Path) -> None:
    rows = [f"word{row},{' '.join(COLUMNS[: row % 5])}\n" for row in range(60)]
    (tmp_path / "rows.csv").write_text("text,labels\n" + "".join(rows))
    run: Any = main(
        [
            *["fit", "--data=TextFiles", f"--data.labels=[{', '.join(COLUMNS)}]", "--data.label_column=labels"],
            *[f"--data.train={tmp_path / 'rows.csv'}", "--data.separator= ", "--trainer.max_epochs=1"],
            *["--model=TransformerClassifier", "--model.encoder=FromScratch", "--model.encoder.layers=1"],
            *["--model.encoder.width=32", "--model.encoder.heads=2", "--trainer.accelerator=cpu"],
            *[f"--trainer.default_root_dir={tmp_path}", f"--trainer.logger.init_args.save_dir={tmp_path}"],
        ]
    )
    found = read_predictions(Path(run.trainer.log_dir) / "predictions_test.csv")
    test = run.datamodule.corpus("test")
    assert (found.label_space.names, found.ids) == (COLUMNS, test.ids)
    assert torch.equal(found.gold, test.labels.bool())
    assert found.probabilities.std(0).min() > 0


OLD = """\
id,gold,decided,not_annotated,joy,self esteem,self
00,joy self,self esteem,,0.25,0.75,0.125
NA,,joy self esteem self,joy,0.5,1.0,0.0
"""


def test_a_file_of_version_0_1_0_is_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions_test.csv"
    path.write_text(OLD)
    (tmp_path / "results_test.json").write_text('{"rule": "threshold 0.5"}')
    found = read_predictions(path)
    assert found.label_space.names == ("joy", "self esteem", "self")
    assert (found.ids, found.rule) == (["00", "NA"], "threshold 0.5")
    assert found.gold.tolist() == [[True, False, True], [False, False, False]]
    assert found.decided.tolist() == [[False, True, False], [True, True, True]]
    assert found.mask.tolist() == [[True, True, True], [False, True, True]]
    assert found.probabilities.tolist() == [[0.25, 0.75, 0.125], [0.5, 1.0, 0.0]]
    path.write_text("".join(line.replace(",not_annotated", "").replace(",,0", ",0").replace("joy,0.5", "0.5")
                            for line in OLD.splitlines(keepends=True)))  # fmt: skip
    assert read_predictions(path).mask.all()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("joy no,no,", "row 1: 'joy no' in column 'gold' is not a list of labels in the order ['no', 'joy', 'no joy']"),
        ("no joy,no,", "row 1: 'no joy' in column 'gold' can be read in several ways"),
    ],
)
def test_label_sets_of_version_0_1_0_that_cannot_be_understood(cells: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions_test.csv"
    path.write_text(f"id,gold,decided,no,joy,no joy\n1,{cells}0.5,0.5,0.5\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_predictions(path)


HEADER = "id,gold:joy,gold:fear,decided:joy,decided:fear,probability:joy,probability:fear\n"
GOOD = "a,0,1,0,1,0.5,0.5\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + GOOD + "b,0,1,0,maybe,0.5,0.5\n", "row 2: column 'decided:fear' holds 'maybe', expected a number"),
        (HEADER + GOOD + "b,0,1,0,,0.5,0.5\n", "row 2: column 'decided:fear' holds '', expected a number"),
        (HEADER + GOOD + "b,0,2,0,1,0.5,0.5\n", "row 2: column 'gold:fear' holds 2, expected 0 or 1"),
        (HEADER + GOOD + "b,0,1,0,1,0.5,high\n", "row 2: column 'probability:fear' holds 'high', expected a number"),
        (HEADER + "b,0,1,0,1,0.5,1.5\n", "probabilities must lie in [0, 1], found 0.5 to 1.5"),
        (HEADER, "expected columns id, gold:<label>, decided:<label> and probability:<label> for each label, and at"),
        (HEADER.replace("decided:fear", "decided:fury") + GOOD, "found columns id, gold:joy, gold:fear, decided:joy,"),
        ("id\na\n", "expected columns id, gold:<label>"),
        ("", "is not a table of predictions"),
    ],
)
def test_damaged_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions_test.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_predictions(path)
