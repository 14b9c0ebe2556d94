"""Writes this folder: invented rows in the format of SemEval-2025. Run: python tests/data/semeval2025/make.py."""

import csv
import random
from pathlib import Path

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
WORDS = {
    "eng": ("cross", "sickening", "afraid", "glad", "gloomy", "startled"),
    "deu": ("wütend", "eklig", "ängstlich", "froh", "traurig", "verblüfft"),
    "arq": ("زعفان", "مقرف", "خايف", "فرحان", "حزين", "متفاجئ"),
    "afr": ("kwaad", "walglik", "bang", "bly", "hartseer", "verras"),
    "ind": ("marah", "jijik", "takut", "senang", "sedih", "terkejut"),
}
MISSING = {"eng": "disgust", "afr": "surprise"}
# text, labels as a blank-separated list; "?" stands for an empty cell in every label
ODD = {
    "eng": [
        ("The door, the stairs, the lamp.", ""),  # commas; no label at all
        ('He said "later" and never came', "anger sadness"),
        ("- starts with a dash", "joy"),
        ("'starts with an apostrophe", "fear"),
        ("=starts with an equals sign", "surprise"),
        ("Twice the same.", "fear"),
        ("Twice the same.", "joy"),
    ],
    "deu": [("Sehr lang: " + "und so weiter " * 70, "anger disgust fear joy sadness"), ("Nichts.", "")],
    "arq": [("حرف \ufffd مكسور", "fear"), ("ما كان والو", "")],
    "afr": [("Niks, regtig niks", "")],
    "ind": [("Tidak ada apa-apa", "")],
}
LATE = {"eng": [("#NAME?", "fear"), ("#NAME?", "joy")], "arq": [("بلا حكم", "?"), ("بلا حكم ثاني", "?")]}  # test only
FILLERS = {"train": 18, "dev": 10, "test": 10}


def rows() -> dict[tuple[str, str], list[dict[str, str]]]:
    """Rows of each language and split as dictionaries of strings."""
    draw = random.Random(0)
    result = {}
    for code, words in WORDS.items():
        names = [name for name in EMOTIONS if name != MISSING.get(code)]
        for split, fillers in FILLERS.items():
            if code == "ind" and split == "train":
                continue  # one of the languages without a training part
            texts = ODD[code] + (LATE.get(code, []) if split == "test" else [])
            for number in range(fillers):
                on = {names[number % len(names)], draw.choice(names)}
                text = " ".join(word for word, name in zip(words, EMOTIONS) if name in on)
                texts.append((f"{text} {split} {number}", " ".join(sorted(on))))
            track = "c" if code == "ind" else "a"
            result[code, split] = [
                {"id": f"{code}_{split}_track_{track}_{number:05d}", "text": text}
                | {name: "" if on == "?" else str(int(name in on.split())) for name in names}
                for number, (text, on) in enumerate(texts, start=1)
            ]
    return result


def write(folder: Path) -> None:
    """The files as released: quoted where needed, LF."""
    for (code, split), table in rows().items():
        path = folder / ("track_c" if code == "ind" else "track_a") / split / f"{code}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)


def write_hub(folder: Path) -> None:
    """The same rows in the layout of the hub; not kept here, as Parquet files differ with every version of pyarrow."""
    import pyarrow
    from pyarrow import parquet

    for (code, split), table in rows().items():
        columns: dict[str, list] = {"id": [row["id"] for row in table], "text": [row["text"] for row in table]}
        for name in EMOTIONS:  # an emotion that a language lacks stands there as a column of nulls
            cells = [row.get(name, "") for row in table]
            columns[name] = pyarrow.array([int(cell) if cell else None for cell in cells], pyarrow.int64())
        columns["emotions"] = [[name for name in EMOTIONS if row.get(name) == "1"] for row in table]
        (folder / code).mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table(columns), folder / code / f"{split}-00000-of-00001.parquet")


if __name__ == "__main__":
    write(Path(__file__).parent)
