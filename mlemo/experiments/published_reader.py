"""The parts of a study's file that hold what a paper prints, read and checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from mlemo.experiments.keyed_reader import KeyedReader
from mlemo.experiments.published import Claim, PublishedRow, PublishedTest

__all__ = ["PublishedReader"]

CLAIM = {"text", "compare", "label", "against", "metrics", "expected", "margin", "source", "where"}
EXPECTED = get_args(get_type_hints(Claim)["expected"])


class PublishedReader(KeyedReader):
    """Converts published tables, p-values and claims of a file."""

    def table(
        self,
        key: str,
        value: Any,
        varies: Mapping[str, Mapping[str, Any]],
        metrics: Mapping[str, str],
        class_metrics: Mapping[str, str],
    ) -> list[PublishedRow]:
        """Convert a table of published numbers."""
        table = self.mapping(key, value, {"table", "unit", "rows"})
        name, unit = self.text(f"{key}.table", table.get("table")), table.get("unit")
        if unit not in ("percent", "1"):
            raise self.wrong(f"{key}.unit", f"expected percent or '1', found {unit!r}")
        rows: list[PublishedRow] = []
        for place, raw in self.items(f"{key}.rows", table.get("rows")):
            shown = class_metrics if isinstance(raw, dict) and "class" in raw else metrics
            row = self.mapping(place, raw, {*varies, *shown, "class", "plus_minus", "marked"})
            labels = tuple(
                (setting, self.known(f"{place}.{setting}", row[setting], varies[setting]))
                for setting in varies
                if setting in row
            )
            of_class = self.text(f"{place}.class", row["class"]) if "class" in row else ""
            if any((labels, of_class) == (other.labels, other.of_class) for other in rows):
                raise self.wrong(place, f"a second row of {dict(labels)} {of_class}".rstrip())
            plus_minus = (
                self.mapping(f"{place}.plus_minus", row["plus_minus"], set(shown)) if "plus_minus" in row else {}
            )
            rows.append(
                PublishedRow(
                    table=name,
                    unit=unit,
                    labels=labels,
                    of_class=of_class,
                    values=self.numbers(place, {metric: row[metric] for metric in shown if metric in row}),
                    plus_minus=self.numbers(f"{place}.plus_minus", plus_minus),
                    marked=tuple(
                        self.known(item, label, shown)
                        for item, label in self.items(f"{place}.marked", row.get("marked"))
                    ),
                )
            )
        return rows

    def tests(
        self,
        key: str,
        value: Any,
        varies: Mapping[str, Mapping[str, Any]],
        metrics: Mapping[str, str],
        compare: str,
    ) -> list[PublishedTest]:
        """Convert a table of published p-values."""
        table = self.mapping(key, value, {"table", "rows"})
        name, rows = self.text(f"{key}.table", table.get("table")), []
        for place, raw in self.items(f"{key}.rows", table.get("rows")):
            row = self.mapping(place, raw, {*varies, *metrics})
            within = [setting for setting in varies if setting in row and setting != compare]
            if compare not in row or len(within) > 1:
                raise self.wrong(place, f"expected a label of {compare} and of one other setting at most")
            for setting in (compare, *within):
                self.known(f"{place}.{setting}", row[setting], varies[setting])
            p = self.numbers(place, {metric: row[metric] for metric in metrics if metric in row})
            if wrong := [metric for metric, value in p.items() if not 0 <= value <= 1]:
                raise self.wrong(f"{place}.{wrong[0]}", f"expected a p-value from 0 to 1, found {p[wrong[0]]!r}")
            first = next(iter(varies[compare]))
            own = (within[0], row[within[0]]) if within else None
            rows.append(PublishedTest(name, compare, first, row[compare], own, p))
        return rows

    def claim(
        self, key: str, value: Any, varies: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, str], compare: str
    ) -> Claim:
        """Convert a claim."""
        content = self.mapping(key, value, CLAIM)
        setting = self.known(f"{key}.compare", content.get("compare", compare), varies)
        label, against = (
            self.known(f"{key}.{name}", content.get(name), varies[setting]) for name in ("label", "against")
        )
        if label == against:
            raise self.wrong(f"{key}.against", f"expected another label than {label!r}")
        expected = content.get("expected", EXPECTED[0])
        if expected not in EXPECTED:
            raise self.wrong(f"{key}.expected", f"expected one of {', '.join(EXPECTED)}, found {expected!r}")
        margin = self.numbers(key, {"margin": content.get("margin", 0.0)})["margin"]
        if expected == "equal" and not 0 < margin < 1:
            raise self.wrong(
                f"{key}.margin", f"expected a share above 0 and below 1 for `expected: equal`, found {margin}"
            )
        if expected != "equal" and margin:
            raise self.wrong(f"{key}.margin", f"a margin is for `expected: equal`, found `expected: {expected}`")
        named = [
            self.known(place, name, metrics) for place, name in self.items(f"{key}.metrics", content.get("metrics"))
        ]
        return Claim(
            text=self.text(f"{key}.text", content.get("text")),
            setting=setting,
            label=label,
            against=against,
            metrics=tuple(named or list(metrics)[:1]),
            expected=expected,
            margin=margin,
            source=self.text(f"{key}.source", content["source"]) if "source" in content else "",
            where=self.where(f"{key}.where", content.get("where"), varies),
        )

    def where(self, key: str, value: Any, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
        """A label, or several, of some settings; nothing where there is no value."""
        found = {}
        for setting, own in self.mapping(key, value, set(settings)).items() if value is not None else ():
            labels = own if isinstance(own, list) else [own]
            found[setting] = tuple(self.known(f"{key}.{setting}", label, settings[setting]) for label in labels)
        return found
