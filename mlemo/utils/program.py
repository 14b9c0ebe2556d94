"""How the command of mlemo is called."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

__all__ = ["program"]


def program() -> str:
    """How this environment's `mlemo` is called from the current folder: by name only if that name finds it."""
    python, found = Path(sys.executable), shutil.which("mlemo")
    if found is not None and Path(found).parent == python.parent:
        return "mlemo"
    return f"{python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python} -m mlemo"
