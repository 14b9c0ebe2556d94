"""Writes this folder: invented rows in the format of GoEmotions. Run: python tests/data/goemotions/make.py."""

import csv
import random
from pathlib import Path

# fmt: off
LABELS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)
# fmt: on
OPENINGS = ("Honestly,", "Well,", "[NAME] said so:", "Look,", "After all,", "For once,")
SCENES = ("the bus was late", "my cat learned to open doors", "the soup went cold", "our team played on", "it rained")

# text, label ids; what is odd about each is what a reader gets wrong
ODD = {
    "train": [
        ('She shouted "stop" twice', [2, 14]),  # quotes inside
        ('"Quoted from end to end"', [27]),
        ('5" of snow, no school', [17, 27]),  # an unbalanced quote; neutral beside another label
        ("  two blanks first", [3]),
        ("one blank last ", [4]),
        ("[RELIGION] and [NAME] walk into a library", [1]),
        ("the very same words", [17]),  # twice, with different labels
        ("the very same words", [25]),
        ("these words are in train and dev", [9]),
        ("digits " + "0123456789" * 30, [27]),  # longer than 200 characters
        ("so much at once", [1, 13, 17, 18, 26]),
        ("a next-line\x85sign and a line\u2028separator, one row", [26]),
    ],
    "dev": [("these words are in train and dev", [25]), ('He wrote "fine" and left', [10])],
    "test": [(" the very same words", [27]), ('"', [6])],
}
FILLERS = {"train": 28, "dev": 14, "test": 14}


def rows() -> dict[str, list[tuple[str, list[int], str]]]:
    """Rows of each split as text, label ids and comment id."""
    draw = random.Random(0)
    result = {}
    for split, odd in ODD.items():
        texts = list(odd)
        for number in range(FILLERS[split]):
            label = number if split == "train" else draw.randrange(28)
            texts.append((f"{draw.choice(OPENINGS)} {draw.choice(SCENES)}, what {LABELS[label]}", [label]))
        result[split] = [(text, ids, f"x{split[0]}{number:05d}") for number, (text, ids) in enumerate(texts)]
    return result


def write(folder: Path) -> None:
    """The files as released: no header, quoted, LF; no line end after the last label."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, table in rows().items():
        with open(folder / f"{split}.tsv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerows((text, ",".join(map(str, ids)), identifier) for text, ids, identifier in table)
    (folder / "emotions.txt").write_text("\n".join(LABELS), encoding="utf-8")


def write_hub(folder: Path) -> None:
    """The same rows in the layout of the hub; not kept here, as Parquet files differ with every version of pyarrow."""
    import pyarrow
    from pyarrow import parquet

    (folder / "simplified").mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "train"), ("dev", "validation"), ("test", "test")):
        texts, ids, identifiers = map(list, zip(*rows()[split]))
        table = pyarrow.table({"text": texts, "labels": ids, "id": identifiers})
        parquet.write_table(table, folder / "simplified" / f"{name}-00000-of-00001.parquet")


if __name__ == "__main__":
    write(Path(__file__).parent)
