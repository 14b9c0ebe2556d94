"""Writes this folder: one invented corpus in the formats that TextFiles reads. Run: python tests/data/files/make.py."""

import csv
import json
import random
from pathlib import Path

LABELS = ("joy", "anger", "fear")
WORDS = {"joy": "glad", "anger": "cross", "fear": "afraid"}
# id, text, labels; "?" for a label that was not annotated
ODD = [
    ("a1", 'comma, "quote" and\na line break', {"joy": "1", "anger": "0", "fear": "0"}),
    ("a2", "nobody asked about fear", {"joy": "0", "anger": "1", "fear": "?"}),
    ("a3", "nothing felt", {"joy": "0", "anger": "0", "fear": "0"}),
    ("a4", "the same text", {"joy": "1", "anger": "0", "fear": "0"}),
    ("a5", "the same text", {"joy": "0", "anger": "1", "fear": "0"}),
]
FILLERS = {"train": 25, "val": 12, "test": 12}


def rows() -> dict[str, list[tuple[str, str, dict[str, str]]]]:
    """Rows of each split as id, text and a value for every label."""
    draw = random.Random(0)
    result = {}
    for split, fillers in FILLERS.items():
        table = list(ODD) if split == "train" else []
        for number in range(fillers):
            on = {LABELS[number % 3], draw.choice(LABELS)}
            text = f"feeling {' and '.join(WORDS[label] for label in LABELS if label in on)}, day {number}"
            table.append((f"{split}-{number}", text, {label: str(int(label in on)) for label in LABELS}))
        result[split] = table
    return result


def write(folder: Path) -> None:
    """One column a label as CSV, TSV and JSON lines; and the training rows with all labels in one column."""
    folder.mkdir(parents=True, exist_ok=True)
    table = rows()
    for name, split, delimiter in (("train.csv", "train", ","), ("val.tsv", "val", "\t")):
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            writer.writerow(("id", "text", *LABELS))
            for identifier, text, values in table[split]:
                writer.writerow((identifier, text, *(values[label].replace("?", "") for label in LABELS)))
    with open(folder / "test.jsonl", "w", encoding="utf-8", newline="\n") as file:
        for identifier, text, values in table["test"]:
            row = {"id": identifier, "text": text} | {label: int(value) for label, value in values.items()}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    with open(folder / "sets.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "emotions"))
        for _, text, values in table["train"]:
            writer.writerow((text, ", ".join(label for label in LABELS if values[label] == "1")))


if __name__ == "__main__":
    write(Path(__file__).parent)
