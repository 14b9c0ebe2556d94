"""Writes this folder: invented rows in the format of SemEval-2018 E-c. Run: python tests/data/semeval2018/make.py."""

import random
from pathlib import Path

# fmt: off
LABELS = (
    "anger", "anticipation", "disgust", "fear", "joy", "love", "optimism", "pessimism", "sadness", "surprise", "trust",
)
# fmt: on
WORDS = {
    "En": (
        "furious",
        "waiting",
        "gross",
        "scared",
        "happy",
        "darling",
        "hopeful",
        "doomed",
        "tearful",
        "wow",
        "reliable",
    ),
    "Ar": ("غاضب", "منتظر", "مقرف", "خائف", "سعيد", "حبيبي", "متفائل", "متشائم", "حزين", "مفاجأة", "واثق"),
    "Es": (
        "furioso",
        "esperando",
        "asco",
        "miedo",
        "feliz",
        "cariño",
        "optimista",
        "perdido",
        "triste",
        "guau",
        "fiel",
    ),
}
FRAMES = {
    "En": ("feeling {} about the kettle", "the tram driver was {} #monday", "@someone {} and off to bed"),
    "Ar": ("أنا {} من الشاي", "سائق الحافلة {} #اليوم", "@شخص {} وإلى النوم"),
    "Es": ("estoy {} por la tetera", "el conductor {} #lunes", "@alguien {} y a dormir"),
}
# tweet, labels; what is odd about each is what a reader gets wrong
ODD = {
    "En": [
        ("First line\\nsecond line &amp; more", "joy optimism"),  # backslash and n; an entity
        ("\ufeffmark before the first word", "sadness"),  # not at the start of the file
        (" blanks at both ends  ", ""),  # no label at all
        ("family \U0001f468\u200d\U0001f469\u200d\U0001f467 and a hard\u00a0blank", "love trust"),
        ("broken \ufffd letter", "fear"),
        ("1 &lt; 2 &quot;yes&quot;", "anger disgust fear pessimism sadness surprise"),
    ],
    "Ar": [
        ('"بداية بلا نهاية', "anger"),  # a quote that never closes
        ('قال "نعم" و"لا"', "trust"),
        ("سطر أول\\nسطر ثان", ""),
    ],
    "Es": [("línea uno\\nlínea dos", "joy"), ("nada que sentir", "")],
}
FILLERS = {"train": 18, "dev": 10, "test-gold": 10}


def rows() -> dict[str, list[tuple[str, str, str]]]:
    """Rows of each file as id, tweet and blank-separated labels."""
    draw = random.Random(0)
    result = {}
    for code, words in WORDS.items():
        for part, fillers in FILLERS.items():
            tweets = list(ODD[code])
            for number in range(fillers):
                on = sorted({number % 11, draw.randrange(11)})
                text = draw.choice(FRAMES[code]).format(" ".join(words[label] for label in on))
                tweets.append((f"{text} {number}", " ".join(LABELS[label] for label in on)))
            draw.shuffle(tweets)  # ids are not sorted, and no oddity is at the start of a file
            year = "2017" if (code, part) == ("En", "train") else "2018"
            order = draw.sample(range(90_000), len(tweets))
            result[f"2018-E-c-{code}-{part}.txt"] = [
                (f"{year}-{code}-{place:05d}", text, on) for place, (text, on) in zip(order, tweets)
            ]
    return result


def write(folder: Path) -> None:
    """The files as released: CRLF, never quoted; one copy with a byte-order mark, as some in circulation have."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in rows().items():
        lines = ["\t".join(["ID", "Tweet", *LABELS])]
        for identifier, text, on in table:
            lines.append("\t".join([identifier, text, *("1" if label in on.split() else "0" for label in LABELS)]))
        mark = "\ufeff" if name == "2018-E-c-Ar-dev.txt" else ""
        (folder / name).write_bytes((mark + "".join(line + "\r\n" for line in lines)).encode())


if __name__ == "__main__":
    write(Path(__file__).parent)
