"""The output folder of ``mlemo explain``: pages, pictures and tables, and an index page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from mlemo.callbacks.label_figures import correlation_figure, which_labels
from mlemo.inference import Classified
from mlemo.reporting.drawing import drawable, png
from mlemo.reporting.explanations.correlation import CorrelationAgreement
from mlemo.reporting.explanations.heat_maps import heat_maps
from mlemo.reporting.explanations.loss_weight_figure import loss_weight_figure
from mlemo.reporting.explanations.neighbors import Neighbor
from mlemo.reporting.explanations.word_pictures import word_picture
from mlemo.reporting.explanations.words import WordWeights
from mlemo.reporting.pages import link, page, picture, table
from mlemo.runs.atomic import write_atomically

__all__ = ["Report"]

HOW_TO_READ = (
    "What each word adds: each word is left out in turn, and its weight is the decrease of the label's probability. "
    "Blue supports the label, orange with a dashed line opposes it. Words with the same meaning may each have a small "
    "weight. Attention, where the model has it: the share of each word in the text's representation; it shows where "
    "the model looks, not why it decides. Colors are proportional to the strongest weight of a text, which is given."
)


class Report:
    """The content of the report, held in memory until ``write``.

    Args:
        facts: The explained objects by name: the checkpoint, its model, its rule.

    Attributes:
        files: Content by file name.
        notes: Explanations and drawings that are missing, with the reason.
    """

    def __init__(self, facts: dict[str, str]) -> None:
        self.files: dict[str, str | bytes] = {}
        self.notes: list[str] = []
        self._overview = ["<dl>"]
        for name, fact in facts.items():
            self._overview.append(f"<dt><strong>{escape(name)}</strong></dt><dd>{escape(fact)}</dd>")
        self._overview.append("</dl>")

    def add_texts(self, results: Sequence[Classified], explained: Sequence[Sequence[WordWeights]]) -> None:
        """Add heat maps of texts: one page, and one picture per text.

        Args:
            results: The classified texts.
            explained: Weights of the words of each text.
        """
        body = [f"<p>{escape(HOW_TO_READ)}</p>"]
        missing: set[str] = set()
        for number, (result, tables) in enumerate(zip(results, explained), start=1):
            file = f"text_{number:03}.png"
            self.files[file], without = word_picture(tables)
            missing |= without
            probabilities = sorted(result.probabilities.items(), key=lambda item: -item[1])
            body += [
                f'<h2 id="text-{number}">Text {number}</h2>',
                f'<p class="text" dir="auto">{escape(result.text)}</p>',
                f'<p dir="auto">Decided: {escape(", ".join(result.labels) or "no label")}</p>',
                *map(heat_maps, tables),
                "<details><summary>All probabilities</summary>",
                table(["label", "probability"], probabilities),
                "</details>",
                f"<p>{link(file, 'The heat maps as a picture')}</p>",
            ]
        if missing:
            shown = " ".join(sorted(missing)[:20])
            self.notes.append(
                f"No font of this system has {shown}: pictures show a box in place of {len(missing)} different "
                "characters (the pages are drawn with the reader's own fonts). A font such as Noto Sans CJK helps."
            )
        self._add_page("texts.html", "Heat maps of the words", f"{len(results)} texts, word by word.", body)

    def add_neighbors(self, results: Sequence[Classified], neighbors: Sequence[Sequence[Neighbor]], how: str) -> None:
        """Add the nearest training texts of each text, as a page and a CSV file.

        Args:
            results: The classified texts.
            neighbors: Neighbors of each text, nearest first.
            how: Description of the comparison.
        """
        columns = ["text", "decided", "rank", "cosine", "training text", "id", "gold labels"]
        rows = [
            (result.text, ", ".join(result.labels), rank, near.cosine, near.text, near.id, ", ".join(near.labels))
            for result, own in zip(results, neighbors)
            for rank, near in enumerate(own, start=1)
        ]
        shown = self._add_table("neighbors.csv", pd.DataFrame(rows, columns=columns))
        self._add_page("neighbors.html", "Nearest training texts", how, [f"<p>{escape(how)}</p>", shown])

    def add_errors(self, examples: pd.DataFrame) -> None:
        """Add examples of true positives, false positives and false negatives, as a page and a CSV file."""
        what = (
            "Examples of each label, drawn at random: true positives (TP), false positives (FP) and false negatives "
            "(FN) of the test split; “of” is the number of all such samples."
        )
        shown = self._add_table("errors.csv", examples)
        self._add_page("errors.html", "Right and wrong, label by label", what, [f"<p>{what}</p>", shown])

    def add_correlation(self, found: CorrelationAgreement) -> None:
        """Add the correlation of gold and of predicted labels, as a picture and a CSV file of all compared pairs."""
        names, gold, predicted = found.shown
        with drawable(names) as (drawn, _):
            self.files["label_correlation.png"] = png(correlation_figure(drawn, gold, predicted, found.of))
        first, second = np.triu_indices(len(found.names), k=1)
        of_all = np.array(found.names, dtype=object)
        content = pd.DataFrame(
            {
                "first": of_all[first],
                "second": of_all[second],
                "gold": found.gold.numpy()[first, second],
                "predicted": found.predicted.numpy()[first, second],
            }
        )
        self.files["label_correlation.csv"] = content.to_csv(index=False)
        which = which_labels(len(names), found.of)
        of_file = [f"of {some}"] if (some := which_labels(len(found.names), found.of)) else []
        self._overview += [
            "<h2>Correlation of labels</h2>",
            f"<p>{escape(found.describe())}, between the two matrices (p assumes that the pairs are independent).</p>",
            picture(
                self._png("label_correlation.png"),
                f"Three heat maps of label correlations: gold, predicted, and the difference. {found.describe()}.",
            ),
            *([f"<p>The picture has {which}.</p>"] if which else []),
            f"<p>{link('label_correlation.csv', ' '.join(['All pairs', *of_file, 'as CSV']))}</p>",
        ]

    def add_loss_weights(self, weights: pd.DataFrame) -> None:
        """Add the weights of the parts of the loss over the training steps, as a picture."""
        with drawable(list(weights.columns)) as (drawn, _):
            figure = loss_weight_figure(weights.set_axis(drawn, axis="columns"))
            self.files["loss_weights.png"] = png(figure)
        ends = "; ".join(f"{name} from {own.iloc[0]:.4f} to {own.iloc[-1]:.4f}" for name, own in weights.items())
        self._overview += [
            "<h2>Weights of the loss in training</h2>",
            picture(self._png("loss_weights.png"), f"One line for the weight of each part of the loss: {ends}."),
        ]

    def write(self, folder: Path) -> Path:
        """Write all files; return the index page, which is written last."""
        notes = [f'<li dir="auto">{escape(note)}</li>' for note in self.notes]
        body = [*self._overview, *(["<h2>Notes</h2>", "<ul>", *notes, "</ul>"] if notes else [])]
        for name, content in {**self.files, "index.html": page("mlemo explain", body)}.items():
            data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
            write_atomically(folder / name, data, sync=False)
        return folder / "index.html"

    def _png(self, file: str) -> bytes:
        content = self.files[file]
        return content if isinstance(content, bytes) else content.encode()

    def _add_page(self, file: str, title: str, what: str, body: Sequence[str]) -> None:
        self.files[file] = page(title, [*body, f"<p>{link('index.html', 'Overview')}</p>"])
        self._overview.append(f"<h2>{link(file, title)}</h2><p>{escape(what)}</p>")

    def _add_table(self, file: str, content: pd.DataFrame) -> str:
        self.files[file] = content.to_csv(index=False)
        rows = content.astype(object).itertuples(index=False)
        return f"{table(list(content.columns), rows)}\n<p>{link(file, 'The same as CSV')}</p>"
