"""Writes this folder: invented rows in the format of ExaAEC. Run: python tests/data/exaaec/make.py."""

import csv
import random
from pathlib import Path

# fmt: off
LABELS = (
    "neutral", "joy", "love", "anticipation", "acceptance", "surprise", "sadness", "fear", "anger", "disgust",
)
# fmt: on
WORDS = ("خبر", "فرح", "محبة", "انتظار", "قبول", "دهشة", "حزن", "خوف", "غضب", "قرف")
FRAMES = ("في البيت {} كبير", "# {} _ اليوم", "الجار عنده {} و شاي", "هذا {} ، لا اكثر")
# text, labels; what is odd about each is what a reader gets wrong
ODD = [
    ("شاي ، قهوة, ماء", ["neutral"]),  # a comma of either kind
    ('قال " نعم " , ثم سكت', ["sadness", "acceptance"]),  # quotes; labels out of order
    ("نفس الكلام مرتين", ["joy"]),  # twice, with different labels
    ("نفس الكلام مرتين", ["love", "anticipation"]),
    ("Err:508", ["anger"]),  # spreadsheet errors, labelled all the same
    ("Err:509", ["fear"]),
    ("# #", ["neutral"]),
    ("no arabic letter here 123", ["surprise"]),
    ("كلام\u200b بلا عرض \ufffd و \ufeff وسط السطر", ["disgust", "anger"]),
]
FILLERS = 51


def rows() -> list[tuple[str, list[str]]]:
    """Rows as text and labels."""
    draw = random.Random(0)
    table = list(ODD)
    for number in range(FILLERS):
        first = number % 10
        second = draw.randrange(1, 10)
        on = [first] if first in (0, second) or draw.random() < 0.7 else [first, second]  # neutral stands alone
        text = draw.choice(FRAMES).format(" ".join(WORDS[label] for label in on))
        table.append((f"{text} {number}", [LABELS[label] for label in on]))
    return table


def write(folder: Path) -> None:
    """The file as released: the labels as a printed Python list, LF."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "ExaAEC.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows((text, str(on)) for text, on in rows())


if __name__ == "__main__":
    write(Path(__file__).parent)
