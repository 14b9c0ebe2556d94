"""Writes this folder: invented posts in the format of NLPCC 2018 task 1. Run: python tests/data/nlpcc2018/make.py."""

import random
from pathlib import Path

EMOTIONS = ("Happiness", "Sadness", "Anger", "Fear", "Surprise")
WORDS = (("开心", "happy"), ("难过", "sad"), ("生气", "angry"), ("害怕", "scared"), ("惊讶", "wow"))
FRAMES = ("今天 喝 茶 {} {} ！", "公交车 又 晚 了 , {} {} 。", "猫 会 开 门 {} so {} ~ ~")
# text, values in the order above; the texts have what an XML parser stumbles over
ODD = {
    "train": [
        ("看 书 < the blue kettle >..笔记", "FFFFF"),
        ("茶 & cake & # 039 ; s", "TFFFT"),
        ("三 个 都 有", "FTTTF"),
    ],
    "dev": [("a < b & c > d 没 感觉", "FFFFF")],
    "test": [
        ("写 诗 的 夜晚 so glad ！", ("EN", "F", "F", "F", "F")),  # left over: emotion expressed in English
        ("雨 天 feeling blue 也 开心", ("T", "EN", "F", "F", "F")),
        ("x < y , 没 感觉", "FFFFF"),
    ],
}
FILLERS = {"train": 21, "dev": 13, "test": 13}


def rows() -> dict[str, list[tuple[int, str, tuple[str, ...]]]]:
    """Posts of each split as id, text and the five values."""
    draw = random.Random(0)
    result = {}
    for split, odd in ODD.items():
        posts = [(text, tuple(values)) for text, values in odd]
        for number in range(FILLERS[split]):
            label = number % 5
            text = draw.choice(FRAMES).format(*WORDS[label]) + f" {number}"
            posts.append((text, tuple("T" if other == label else "F" for other in range(5))))
        first = 1 if split == "test" else 0
        result[split] = [(number, text, values) for number, (text, values) in enumerate(posts, start=first)]
    return result


def write(folder: Path) -> None:
    """The files as released: blocks of twenty lines; train and dev with CRLF, test with LF."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, posts in rows().items():
        lines: list[str] = []
        for number, text, values in posts:
            lines.append(f'<Tweet id="{number}">')
            for emotion, value in zip(EMOTIONS, values):
                lines += [f"\t<{emotion}>", f"\t{value}", f"\t</{emotion}>"]
            lines += ["\t<Content>", f"\t{text}", "\t</Content>", "</Tweet>", ""]
        end = "\n" if split == "test" else "\r\n"
        (folder / f"{split}.txt").write_bytes("".join(line + end for line in lines).encode())


if __name__ == "__main__":
    write(Path(__file__).parent)
