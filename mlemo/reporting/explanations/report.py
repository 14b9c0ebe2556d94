"""The output folder of ``mlemo explain``: pages, pictures and tables, and an index page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from mlemo.callbacks.label_figures import correlation_figure, which_labels
from mlemo.inference import Classified
from mlemo.reporting.drawing import drawable, png
from mlemo.reporting.explanations.confusion import Confusion, confusion_figure
from mlemo.reporting.explanations.correlation import CorrelationAgreement
from mlemo.reporting.explanations.decisions import decisions
from mlemo.reporting.explanations.heat_maps import heat_maps
from mlemo.reporting.explanations.loss_weight_figure import loss_weight_figure
from mlemo.reporting.explanations.neighbors import Neighbor
from mlemo.reporting.explanations.word_pictures import word_picture
from mlemo.reporting.explanations.words import WordWeights
from mlemo.reporting.pages import filtered_table, link, page, picture, table
from mlemo.runs.atomic import write_atomically
from mlemo.utils.messages import shortened

__all__ = ["Report"]

UNDECIDED = 3  # labels below their thresholds that are shown beside the decided ones

HOW_TO_READ = (
    "The table of a text has its decided labels, and the undecided ones that are nearest to their thresholds: a label "
    "is decided where its probability is at least its threshold (some rules also decide the most probable label, or "
    "have no thresholds). "
    "What each word adds: each word is left out in turn, and its weight is the decrease of the label's probability. "
    "Blue supports the label, orange with a dashed line opposes it. Words with the same meaning may each have a small "
    "weight. Attention, where the model has it: the share of each word in the text's representation; it shows where "
    "the model looks, not why it decides. Colors are proportional to the strongest weight of a text, which is given."
)

HOW_CONFUSED = (
    "Label b is confused with label a in a test text that has a without its being predicted, and does not have b "
    "although it is predicted. A row of the picture is a missed label with the number of its texts; the last column "
    "has the texts in which no label is predicted wrongly. A text with several wrong labels counts for each of them."
)
HOW_SUSPECTED = (
    "An absent label is suspected where its probability p is above one half and at least the mean probability of the "
    "rows that have it; a present one where 1 − p is above one half and at least the mean of 1 − p of the rows without "
    "it (confident learning, Northcutt et al. 2021). Agreement: probability of the annotated value. A suspicion is no "
    "proof: read the text before a label is changed."
)
CONFUSED = 20  # pairs of labels on the overview


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

    def add_texts(
        self,
        results: Sequence[Classified],
        explained: Sequence[Sequence[WordWeights]],
        thresholds: Tensor | None = None,
    ) -> None:
        """Add heat maps of texts: one page, and one picture per text.

        Args:
            results: The classified texts.
            explained: Weights of the words of each text.
            thresholds: ``(C,)``, threshold of each label; ``None`` for a rule without thresholds.
        """
        body = [f"<p>{escape(HOW_TO_READ)}</p>"]
        missing: set[str] = set()
        for number, (result, tables) in enumerate(zip(results, explained), start=1):
            file = f"text_{number:03}.png"
            self.files[file], without = word_picture(tables)
            missing |= without
            decided = decisions(result, thresholds)
            near = decided.head(len(result.labels) + UNDECIDED)
            body += [
                f'<h2 id="text-{number}">Text {number}</h2>',
                f'<p class="text" dir="auto">{escape(result.text)}</p>',
                f'<p dir="auto">Decided: {escape(", ".join(result.labels) or "no label")}</p>',
                table(list(near.columns), _rows(near)),
                *map(heat_maps, tables),
                "<details><summary>All labels</summary>",
                table(list(decided.columns), _rows(decided)),
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

    def add_errors(self, examples: pd.DataFrame, mistakes: pd.DataFrame) -> None:
        """Add examples of decisions drawn at random, and the most confident mistakes, as pages and CSV files."""
        cases = "true positives (TP), false positives (FP) and false negatives (FN)"
        what = f"Examples of each label, drawn at random: {cases} of the test split"
        self._add_examples("errors", "Right and wrong, label by label", what, examples)
        what = "Of each label, the false positives (FP) with the highest and the false negatives (FN) with the lowest "
        self._add_examples("mistakes", "Most confident mistakes", f"{what}probability in the test split", mistakes)

    def add_confusion(self, found: Confusion) -> None:
        """Add the labels that are predicted wrongly in place of missed ones, as a picture and a CSV file."""
        with drawable(list(found.names)) as (drawn, _):
            self.files["confusion.png"] = png(confusion_figure(found, drawn))
        pairs = found.table()
        self.files["confusion.csv"] = pairs.to_csv(index=False)
        shown = pairs.head(CONFUSED)
        which = which_labels(len(found.drawn), found.of)
        self._overview += [
            "<h2>Confusion between labels</h2>",
            f"<p>{escape(HOW_CONFUSED)}{escape(f' The picture has {which}.' if which else '')}</p>",
            picture(
                self._png("confusion.png"),
                "A heat map of the share of the texts with a missed label in which another one is predicted wrongly. "
                f"The {len(shown)} most frequent pairs are in the table.",
            ),
            table(list(shown.columns), _rows(shown)),
            f"<p>{link('confusion.csv', 'All pairs as CSV')}</p>",
        ]

    def add_label_errors(self, found: pd.DataFrame, how: str, most: int) -> None:
        """Add suspected errors of gold labels, as a page and a CSV file.

        Args:
            found: The suspected entries, the most suspected first.
            how: Where the probabilities are from.
            most: Largest number of entries on the page.
        """
        self.files["label_errors.csv"] = found.to_csv(index=False)
        shown = found.head(most)
        count = f"The first {most:,} of {len(found):,}" if len(found) > most else f"{len(found):,}"
        what = f"{count} annotated values that the model confidently contradicts, the most suspected first. {how}"
        body = [
            f"<p>{escape(what)} {escape(HOW_SUSPECTED)}</p>",
            filtered_table(list(shown.columns), _rows(shown), ["split", "label", "annotated"]),
            f"<p>{link('label_errors.csv', 'All as CSV')}</p>",
        ]
        self._add_page("label_errors.html", "Suspected label errors", what, body)

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

    def _add_examples(self, name: str, title: str, what: str, content: pd.DataFrame) -> None:
        self.files[f"{name}.csv"] = content.to_csv(index=False)
        what = f"{what}; “of” is the number of all such samples."
        body = [
            f"<p>{escape(what)}</p>",
            filtered_table(list(content.columns), _rows(content), ["label", "case"]),
            f"<p>{link(f'{name}.csv', 'The same as CSV')}</p>",
        ]
        self._add_page(f"{name}.html", title, what, body)

    def _add_table(self, file: str, content: pd.DataFrame) -> str:
        self.files[file] = content.to_csv(index=False)
        return f"{table(list(content.columns), _rows(content))}\n<p>{link(file, 'The same as CSV')}</p>"


def _rows(content: pd.DataFrame) -> Iterator[list[object]]:
    """Yield the rows of a table for a page, with the beginning of long texts; the CSV files have them whole."""
    for row in content.astype(object).itertuples(index=False):
        yield [shortened(value) if isinstance(value, str) else value for value in row]
