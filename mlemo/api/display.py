"""The progress of runs in a notebook: one output that is updated, in place of lines and a bar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from mlemo.experiments.progress import Outcome, ProgressDisplay
from mlemo.utils.messages import visible

__all__ = ["progress_display"]

EVERY = 1.0  #: seconds between two updates, at least


class NotebookDisplay(ProgressDisplay):
    """`ProgressDisplay` as an output of a cell: a bar, what is in work, the time left, and a line per finished run."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lines: list[str] = []
        self._in_work_now = ""
        self._shown_at = 0.0
        self._handle: Any = None

    def __enter__(self) -> NotebookDisplay:
        from IPython.display import display

        super().__enter__()
        self._handle = display(self, display_id=True)
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._in_work_now = "interrupted; run() again continues" if error[0] is not None else ""
        self._show()

    def waiting(self) -> None:
        """Show the epochs of the runs in work."""
        self._update()

    def _update(self) -> None:
        self._in_work_now = self._in_work_names()
        if time.monotonic() - self._shown_at >= EVERY:
            self._show()

    def _line(self, text: str) -> None:
        self._lines.append(visible(text))
        self._show()

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        if self._handle is not None:
            self._handle.update(self)

    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        done, planned = self._settled(), self._planned
        left = self._time_left() if self._in_work_now else ""
        now = "; ".join(filter(None, [f"{done} of {planned} runs", self._in_work_now, left]))
        bar = f'<progress value="{done}" max="{planned}" aria-label="runs"></progress>'
        lines = "".join(f"<li>{escape(line)}</li>" for line in self._lines)
        return f"<div>{bar} {escape(now)}<ul>{lines}</ul></div>"

    def __repr__(self) -> str:
        """The same as text, for what shows no HTML."""
        return "\n".join([f"{self._settled()} of {self._planned} runs", *self._lines])


def progress_display(
    metrics: Mapping[str, str], outcome: Outcome, folder: Path, workers: int
) -> ProgressDisplay | NotebookDisplay:
    """The display that suits where this is called: a notebook, or a terminal or log; arguments as `ProgressDisplay`."""
    console = Console()
    if console.is_jupyter:
        # its own console would print beside the output of the cell that is updated
        return NotebookDisplay(Console(quiet=True, force_jupyter=False), metrics, outcome, folder, workers)
    return ProgressDisplay(console, metrics, outcome, folder, workers)
