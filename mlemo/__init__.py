"""mlemo: multi-label emotion classification of text; published systems in one house, combined by config alone.

>>> import mlemo
>>> mlemo.__version__
'0.1.0'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlemo import callbacks as callbacks
    from mlemo import data as data
    from mlemo import losses as losses
    from mlemo import metrics as metrics
    from mlemo import models as models
    from mlemo import samplers as samplers
    from mlemo import text as text
    from mlemo import thresholds as thresholds
    from mlemo.api import Ablation as Ablation
    from mlemo.api import Experiment as Experiment
    from mlemo.api import TrainedRun as TrainedRun
    from mlemo.api import ablate as ablate
    from mlemo.api import fit as fit
    from mlemo.inference import Classifier as Classifier
    from mlemo.inference import load as load
    from mlemo.labels import LabelSpace as LabelSpace

__version__ = "0.1.0"

#: Where each public name comes from, which is imported when the name is used: `mlemo --help` must not wait for torch.
PUBLIC = {
    **dict.fromkeys(("Ablation", "Experiment", "TrainedRun", "ablate", "fit"), "mlemo.api"),
    **dict.fromkeys(("Classifier", "load"), "mlemo.inference"),
    "LabelSpace": "mlemo.labels",
}
PACKAGES = ("callbacks", "data", "losses", "metrics", "models", "samplers", "text", "thresholds")

__all__ = ["__version__", *sorted((*PUBLIC, *PACKAGES))]  # noqa: PLE0604  # names as strings


def __getattr__(name: str) -> Any:
    if name in PUBLIC:
        return getattr(import_module(PUBLIC[name]), name)
    if name in PACKAGES:
        return import_module(f"mlemo.{name}")
    raise AttributeError(f"module 'mlemo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
