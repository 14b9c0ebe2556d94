"""mlemo: multi-label emotion classification of text; published systems in one house, combined by config alone.

>>> import mlemo
>>> mlemo.__version__
'0.1.0'
"""

from __future__ import annotations

from typing import Any

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `load` needs torch and transformers; `mlemo --help` must not wait for them
    if name == "load":
        from mlemo.predict import load

        return load
    raise AttributeError(f"module 'mlemo' has no attribute {name!r}")
