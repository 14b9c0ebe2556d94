"""Writes this folder: invented rows in MULAN's form. Run: python tests/data/mulan/make.py."""

import gzip
import random
from pathlib import Path

# scene: dense, in two files, everything that a reader of names and values gets wrong. Name in the file, declared type,
# as written in the header; labels stand anywhere, in an order other than the XML's.
DENSE = [
    ("height", "numeric", "@ATTRIBUTE height\tREAL"),
    ("it's red", "01", r"@attribute 'it\'s red' {0,1}"),  # a label: escaped quote
    ("kind of stone", "stone", '@attribute "kind of stone" { \'hard, grey\' , chalk, "50% clay" }'),
    ("7", "01", "@attribute 7 { 0, 1 }"),  # a label: numeric name
    ("wet", "yes", "@Attribute wet {no,yes}"),
    ("moss & fern", "number01", "@attribute 'moss & fern' numeric"),  # a label: numeric
    ("note", "text", "@attribute note string"),
    ("seven", "10", "@attribute seven {1,0}"),  # a label: declared the other way round
    ("shade", "10", "@attribute shade {1,0}"),  # an input, too
    ('say "ah"', "01", "@attribute 'say \"ah\"' {0,1}%a label"),
    ("width", "numeric", "@attribute  'width'  Integer"),
    ("Grün", "01", "@attribute Grün {0,1}"),
]
DENSE_LABELS = ("Grün", "7", 'say "ah"', "moss & fern", "it's red", "seven")  # the order of the XML
TRAIN_ROWS, ROWS = 24, 40

# parcels: sparse and gzip, labels first, a hierarchy of labels, and inputs with numeric names
TREE = {"land": ("field", "wood"), "water": ("pond",)}
SPARSE_LABELS = ("land", "field", "wood", "water", "pond")  # parents before their children, as in the XML
SPARSE_ORDER = ("pond", "land", "water", "wood", "field")  # as in the table
INPUTS = 9
SPARSE_ROWS = 50


def dense_rows() -> list[dict[str, object]]:
    """Rows of scene as name: value."""
    draw = random.Random(1)
    values = {
        "numeric": lambda: round(draw.uniform(-9, 9), 3),
        "01": lambda: draw.choice("001"),
        "10": lambda: draw.choice("001"),
        "number01": lambda: draw.choice((0, 1)),
        "stone": lambda: draw.choice(("hard, grey", "chalk", "50% clay")),
        "yes": lambda: draw.choice(("no", "yes")),
        "text": lambda: draw.choice(("as is", 'it\'s, 100% "so"', "?")),
    }
    return [{name: values[kind]() for name, kind, _ in DENSE} for _ in range(ROWS)]


def sparse_rows() -> list[tuple[dict[str, int], list[float]]]:
    """Rows of parcels as labels and inputs."""
    draw = random.Random(2)
    rows = []
    for _ in range(SPARSE_ROWS):
        on = {name: int(draw.random() < 0.35) for name in SPARSE_LABELS}
        for parent, children in TREE.items():
            on[parent] = max(on[parent], *(on[child] for child in children))
        rows.append((on, [round(draw.uniform(0, 2), 2) if draw.random() < 0.4 else 0.0 for _ in range(INPUTS)]))
    return rows


def write(folder: Path) -> None:
    """Both datasets; gzip without a time in it."""
    write_dense(folder / "scene")
    write_sparse(folder / "parcels")


def write_dense(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header = ["% invented", "", "@RELATION 'invented rows'", "", *(declared for *_, declared in DENSE), "", "@DATA"]
    lines = [", ".join(_written(row[name], kind) for name, kind, _ in DENSE) for row in dense_rows()]
    lines[3] += "  % a comment after a row, it's one"
    lines[5] = "\t".join(_written(value, kind) for value, (_, kind, _) in zip(dense_rows()[5].values(), DENSE))
    train = [*header, "% rows", "", *lines[:TRAIN_ROWS]]
    _write(folder / "scene-train.arff", "\n".join(train) + "\n")
    _write(folder / "scene-test.arff", "\r\n".join([*header, *lines[TRAIN_ROWS:]]))  # no line end at the end
    escape = {"&": "&amp;", '"': "&quot;", "'": "&apos;"}
    names = ["".join(escape.get(letter, letter) for letter in name) for name in DENSE_LABELS]
    labels = "\n".join(f'<label name="{name}"></label>' for name in names)
    _write(
        folder / "scene.xml",
        f'<?xml version="1.0" encoding="utf-8"?>\n<labels xmlns="http://mulan.sourceforge.net/labels">\n{labels}\n'
        "</labels>\n",
    )


def write_sparse(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header = ["@relation parcels", *(f"@attribute {name} {{0,1}}" for name in SPARSE_ORDER)]
    header += [f"@attribute {number} numeric" for number in range(INPUTS)]
    lines = []
    for on, inputs in sparse_rows():
        cells = [*(on[name] for name in SPARSE_ORDER), *inputs]
        lines.append("{" + ",".join(f"{index} {value}" for index, value in enumerate(cells) if value) + "}")
    lines[1] = lines[1].replace(",", " , ").replace("{", "{ ").replace("}", "\t}")
    text = "\n".join([*header, "@data", *lines]) + "\n"
    (folder / "parcels.arff.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    tree = "".join(
        f"  <label name='{parent}'>\n"
        + "".join(f"    <label name='{child}'/>\n" for child in children)
        + "  </label>\n"
        for parent, children in TREE.items()
    )
    _write(folder / "parcels.xml", f"<labels>\n{tree}</labels>\n")


def _written(value: object, kind: str) -> str:
    text = str(value)
    if kind in ("stone", "text") and text not in ("chalk", "?"):
        return "'" + text.replace("'", r"\'") + "'"
    return text


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


if __name__ == "__main__":
    write(Path(__file__).parent)
