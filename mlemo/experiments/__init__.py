"""Experiments driven from Python: a training with objects, and ablations over it."""

from mlemo.experiments.ablation import Ablation, ablate
from mlemo.experiments.experiment import Experiment, fit
from mlemo.experiments.trained_run import TrainedRun

__all__ = ["Ablation", "Experiment", "TrainedRun", "ablate", "fit"]
