"""Experiments driven from Python: a training with objects, and ablations over it."""

from mlemo.api.ablation import Ablation, ablate
from mlemo.api.experiment import Experiment, fit
from mlemo.api.trained_run import TrainedRun

__all__ = ["Ablation", "Experiment", "TrainedRun", "ablate", "fit"]
