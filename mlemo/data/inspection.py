"""What a file of texts and labels holds: the settings of `TextFiles` that read it, found by looking at its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlemo.data.checks import listing
from mlemo.data.corpus import Corpus
from mlemo.data.files import TextFiles
from mlemo.data.io.sniffing import found_delimiter, found_encoding
from mlemo.data.io.tables import DELIMITERS, check_suffix, file_parts

__all__ = ["Inspection", "inspect_file"]

#: Words for 1 and 0 in label columns, beside the numbers that `TextFiles` reads without being told.
TRUE = frozenset(
    {"x", "✓", "✔", "yes", "y", "true", "t", "sí", "si", "s", "ja", "j", "oui", "o", "vrai", "v", "wahr", "verdadero"}
    | {"vero", "sim", "да", "evet", "tak", "是", "نعم"}
)
FALSE = frozenset(
    {"-", "no", "n", "false", "f", "nein", "non", "falsch", "falso", "faux", "não", "nao", "nee", "нет", "hayır", "nie"}
    | {"否", "لا"}
)
ONES, ZEROS = frozenset({"1", "1.0", "1,0"}), frozenset({"0", "0.0", "0,0"})
SEPARATORS = (";", "|", ",", "/", "+", "\n")
MOST_NAMES = 100  # of labels in one column
FEWEST_USES = 3  # of a name on average: fewer are ids or free text


@dataclass
class Inspection:
    """A file, as found.

    Args:
        path: The file.
        settings: Settings of `TextFiles` that are not its defaults, ``train`` among them.
        remarks: Why they are so, by setting.
        unused: Columns that are not read.
        corpus: All rows, read with the settings.
        empty_cells: Number of empty label cells.
    """

    path: Path
    settings: dict[str, Any]
    remarks: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    corpus: Corpus = None  # type: ignore[assignment]  # set when the settings are complete
    empty_cells: int = 0


def inspect_file(path: Path, given: Mapping[str, Any]) -> Inspection:
    """Find out how a file is to be read, and read it.

    Args:
        path: A file that `TextFiles` reads.
        given: Settings of `TextFiles` that are not to be found.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file has a fault, or no column of texts or labels is found; the message names the option that
            helps.
    """
    check_suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    found = Inspection(path, {"train": str(path), **given})
    _find_format(found)
    settings = found.settings
    cells: dict[str, list[Any]] = {}
    for table in file_parts(path, settings.get("delimiter"), settings.get("encoding"), Counter()):
        for name, column in table.columns.items():
            cells.setdefault(name, []).extend(column)
    columns = {name: _Column(name, column) for name, column in cells.items()}
    _find_labels(found, columns)
    _find_texts(found, columns)
    _find_empty(found, columns)
    used = {settings[key] for key in ("label_column", "id_column", "group_column") if key in settings}
    used.update(settings.get("labels", ()), _as_list(settings["text_column"]))
    found.unused = [name for name in columns if name not in used]
    parts = {"val": path, "test": path, "map_from": None}
    found.corpus = TextFiles(**{**settings, **parts}).corpus("train")
    settings["labels"] = list(found.corpus.label_space.names)
    return found


class _Column:
    """The cells of a column as stripped texts, and what they look like."""

    def __init__(self, name: str, cells: Sequence[Any]) -> None:
        self.name = name
        self.lists = any(isinstance(cell, list) for cell in cells)
        texts = ["" if cell is None else _as_text(cell) for cell in cells]
        self.filled = [text for text in texts if text]
        self.empty = len(texts) - len(self.filled)
        self.distinct = Counter(self.filled)
        self.words = {text.casefold() for text in self.distinct}

    @property
    def is_label(self) -> bool:
        return bool(self.words & (TRUE | ONES)) and self.words <= TRUE | FALSE | ONES | ZEROS

    @property
    def has_zeros(self) -> bool:
        return bool(self.words & (FALSE | ZEROS))

    @property
    def characters(self) -> float:
        """Mean length of the distinct cells."""
        return sum(map(len, self.distinct)) / max(1, len(self.distinct))

    @property
    def identifies(self) -> bool:
        """Whether every row has another cell, a single word."""
        return not self.empty and len(self.distinct) == len(self.filled) and not any(map(_has_space, self.filled))

    def names(self, separator: str) -> Counter[str]:
        """Uses of each name, where cells are names joined by a separator."""
        parts = (part.strip() for text, count in self.distinct.items() for part in text.split(separator) * count)
        return Counter(part for part in parts if part)


def _as_text(cell: Any) -> str:
    if isinstance(cell, list):
        return "\n".join(map(str, cell))
    return str(int(cell)) if isinstance(cell, bool) else str(cell).strip()


def _as_list(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _has_space(text: str) -> bool:
    return any(character.isspace() for character in text)


def _find_format(found: Inspection) -> None:
    suffix, settings = found.path.suffix.lower(), found.settings
    if suffix in (".xlsx", ".parquet"):
        return
    if "encoding" not in settings and (encoding := found_encoding(found.path)) is not None:
        settings["encoding"] = encoding
        found.remarks["encoding"] = "a guess, as the file is not UTF-8: check the letters with accents"
    if suffix in DELIMITERS and "delimiter" not in settings:
        delimiter = found_delimiter(found.path, settings.get("encoding"))
        if delimiter != DELIMITERS[suffix]:
            settings["delimiter"] = delimiter


def _find_labels(found: Inspection, columns: Mapping[str, _Column]) -> None:
    settings = found.settings
    if "label_column" in settings:
        _find_separator(settings, _existing(columns, settings["label_column"]))
        return
    if "labels" not in settings:
        others = {*_as_list(settings.get("text_column", ())), settings.get("id_column"), settings.get("group_column")}
        labels = [name for name, column in columns.items() if column.is_label and name not in others]
        if not labels:
            _find_label_column(found, columns, others)
            return
        settings["labels"] = labels
    words = set().union(*(_existing(columns, name).words for name in settings["labels"]))
    for key, own, usual in (("true_values", TRUE, ONES), ("false_values", FALSE, ZEROS)):
        if key not in settings and words & own:
            settings[key] = sorted(words & (own | usual))


def _find_label_column(found: Inspection, columns: Mapping[str, _Column], others: set[Any]) -> None:
    """The column whose cells are few names, several of them in some cells."""
    candidates: dict[str, float] = {}
    text = max(columns.values(), key=lambda column: column.characters).name
    for name, column in columns.items():
        if name in others or name == text or not column.filled:
            continue
        settings: dict[str, Any] = {}
        _find_separator(settings, column)
        names = column.names(settings.get("separator", ","))
        if 2 <= len(names) <= MOST_NAMES and names.total() >= FEWEST_USES * len(names):
            candidates[name] = names.total() / len(column.filled)
    several = [name for name, each in candidates.items() if each > 1]
    if len(chosen := several or list(candidates)) != 1:
        possible = f" ({listing(chosen)} could each be one)" if chosen else ""
        found_columns = listing([repr(name) for name in columns], 20)
        raise ValueError(
            f"{found.path}: no column of labels is found: neither columns of 1 (or x) and 0 (or empty cells), nor one "
            f"column with the names of labels{possible}. Name it with --label_column COLUMN, or the columns of one "
            f"label each with --labels COLUMN …; the columns are {found_columns}"
        )
    found.settings["label_column"] = chosen[0]
    _find_separator(found.settings, columns[chosen[0]])


def _find_separator(settings: dict[str, Any], column: _Column) -> None:
    """The separator that leaves the fewest different names, and of those most uses, where it is not the default one."""
    if "separator" in settings or column.lists or all(text.startswith("[") for text in column.filled):
        return
    names = {separator: column.names(separator) for separator in (",", *SEPARATORS)}
    best = min(names, key=lambda separator: (len(names[separator]), -names[separator].total()))
    if best != ",":
        settings["separator"] = best


def _find_texts(found: Inspection, columns: Mapping[str, _Column]) -> None:
    settings = found.settings
    for key in ("id_column", "group_column"):
        if key in settings:
            _existing(columns, settings[key])
    taken = {*settings.get("labels", ()), settings.get("label_column"), settings.get("id_column")}
    free = [column for name, column in columns.items() if name not in taken and column.filled]
    if "text_column" in settings:
        for name in _as_list(settings["text_column"]):
            _existing(columns, name)
    elif not free:
        raise ValueError(
            f"{found.path}: no column of texts beside {listing([repr(name) for name in columns], 20)}; name it with "
            "--text_column COLUMN"
        )
    else:
        settings["text_column"] = max(free, key=lambda column: column.characters).name
    texts = _as_list(settings["text_column"])
    ids = [column.name for column in free if column.identifies and column.name not in texts]
    if ids and "id_column" not in settings:
        settings["id_column"] = ids[0]


def _find_empty(found: Inspection, columns: Mapping[str, _Column]) -> None:
    """Decide what an empty label cell means."""
    settings = found.settings
    names = [settings["label_column"]] if "label_column" in settings else settings["labels"]
    labels = [columns[name] for name in names]
    found.empty_cells = sum(column.empty for column in labels)
    if not found.empty_cells or "empty" in settings:
        return
    both = [column.name for column in labels if column.empty and column.has_zeros]
    if "label_column" in settings:
        settings["empty"], reason = "no", "a text without a label has none"
    elif both:
        settings["empty"], reason = "unknown", f"not annotated, as {listing(both)} have cells of 0 beside empty ones"
        if without := [column.name for column in labels if column.empty and not column.has_zeros]:
            reason += f"; but {listing(without)} then have no row that is 0"
    else:
        settings["empty"], reason = "no", "0, as the columns with empty cells have no cell of 0: only 1 is marked"
    found.remarks["empty"] = reason


def _existing(columns: Mapping[str, _Column], name: str) -> _Column:
    if name not in columns:
        raise ValueError(f"no column {name!r}, found {listing([repr(known) for known in columns], 20)}")
    return columns[name]
