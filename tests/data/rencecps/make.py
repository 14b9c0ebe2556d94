"""Writes this folder: invented documents in the format of Ren-CECps. Run: python tests/data/rencecps/make.py."""

import random
from pathlib import Path
from xml.sax.saxutils import quoteattr

EMOTIONS = ("Joy", "Hate", "Love", "Sorrow", "Anxiety", "Surprise", "Anger", "Expect")
WORDS = ("开心", "讨厌", "喜欢", "难过", "担心", "惊讶", "生气", "期待")
FRAMES = ("今天的茶真让人{}。", "邻居的猫又来了，{}！", "“{}”，他说。")
DOCUMENTS = ("cet_1.xml", "cet_2.xml", "more/cet_3.xml", "more/cet_10.xml")


def rows() -> dict[str, list[list[tuple[str, tuple[float, ...]]]]]:
    """Documents as paragraphs of sentences; a sentence is its text and eight intensities."""
    draw = random.Random(0)
    result = {}
    for document in DOCUMENTS:
        paragraphs = []
        for _ in range(2):
            sentences = []
            for number in range(4):
                label = draw.randrange(8)
                values = [0.0] * 8
                values[label] = draw.choice((0.1, 0.5, 1.0))
                values[draw.randrange(8)] = 0.3
                sentences.append((draw.choice(FRAMES).format(WORDS[label]) + f"（{number}）", tuple(values)))
            paragraphs.append(sentences)
        paragraphs[0][0] = ('没有感觉 & <平静> "嗯"', (0.0,) * 8)  # no emotion; characters that XML escapes
        result[document] = paragraphs
    return result


def write(folder: Path) -> None:
    """One XML file a document, annotated at document, paragraph and sentence level."""
    for document, paragraphs in rows().items():
        lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<document>", *_levels("1.0")]
        for paragraph in paragraphs:
            lines += ["<paragraph>", *_levels("0.9")]
            for number, (text, values) in enumerate(paragraph):
                lines.append(f"<sentence S={quoteattr(text)}>")
                if number:  # missing in some sentences
                    lines.append("<Polarity>积极</Polarity>")
                lines += [f"<{emotion}>{value}</{emotion}>" for emotion, value in zip(EMOTIONS, values)]
                written = ("0", "0.0")[number % 2]  # keywords write it either way
                lines.append('<Keywords K="茶" ' + " ".join(f'{emotion}="{written}"' for emotion in EMOTIONS) + "/>")
                lines.append("</sentence>")
            lines.append("</paragraph>")
        path = folder / document
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(line + "\n" for line in [*lines, "</document>"]).encode())


def _levels(value: str) -> list[str]:
    """Document and paragraph level: the same elements as a sentence has, which a reader must not take for one."""
    return [f"<{emotion}>{value}</{emotion}>" for emotion in EMOTIONS]


if __name__ == "__main__":
    write(Path(__file__).parent)
