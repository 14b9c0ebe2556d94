"""Callbacks of training: checkpoints, thresholds, batch selection, results, figures and progress."""

from mlemo.callbacks.batch_selection import BatchSelection
from mlemo.callbacks.best_checkpoint import BestCheckpoint, RunCheckpoint
from mlemo.callbacks.compile import Compile
from mlemo.callbacks.cost import Cost
from mlemo.callbacks.early_stopping import EarlyStopping
from mlemo.callbacks.ema import EMAWeights
from mlemo.callbacks.epoch_log import EpochLog
from mlemo.callbacks.figures import EvaluationFigures
from mlemo.callbacks.finite_loss import FiniteLoss
from mlemo.callbacks.gthl_figures import GTHLFigures
from mlemo.callbacks.interruption import Interruption
from mlemo.callbacks.label_shuffle import LabelShuffle
from mlemo.callbacks.loss_weights import LossWeightMonitor
from mlemo.callbacks.mixup import Mixup
from mlemo.callbacks.model_summary import ModelSummary
from mlemo.callbacks.progress import ProgressBar
from mlemo.callbacks.prompt_orders import PromptOrders
from mlemo.callbacks.results import Results
from mlemo.callbacks.threshold_tuning import ThresholdTuning
from mlemo.callbacks.trajectory import Trajectory

__all__ = [
    "BatchSelection",
    "BestCheckpoint",
    "Compile",
    "Cost",
    "EMAWeights",
    "EarlyStopping",
    "EpochLog",
    "EvaluationFigures",
    "FiniteLoss",
    "GTHLFigures",
    "Interruption",
    "LabelShuffle",
    "LossWeightMonitor",
    "Mixup",
    "ModelSummary",
    "ProgressBar",
    "PromptOrders",
    "Results",
    "RunCheckpoint",
    "ThresholdTuning",
    "Trajectory",
]
