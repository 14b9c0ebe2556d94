"""Pictures of an evaluation for TensorBoard."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn

from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.callbacks.label_figures import class_f1_figure, correlation_figure, label_correlation, most_positive
from mlemo.callbacks.threshold_figures import reliability_figure, threshold_figure
from mlemo.callbacks.threshold_tuning import tuned_rule
from mlemo.metrics.outputs import Outputs
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
from mlemo.thresholds import AtLeastOne, Calibrated

__all__ = ["EvaluationFigures"]


class EvaluationFigures(OutputsCallback):
    """Draws, after each validation and after test, what a table of averages hides.

    ``<stage>/class_f1``: F1 of each class, frequent classes first. ``<stage>/label_correlation``: Pearson correlation
    of the labels in gold, in prediction, and the difference, with labels that go together next to each other. Both have
    at most `MOST_LABELS` labels, those with the most gold positives. Decisions are those of the tuned rule where there
    is one, else 0.5. Not after every epoch of training, as they take longer to draw: ``<stage>/reliability``, how often
    a label predicted with probability p is right, for all labels together and for those with the largest calibration
    error, and, under a :class:`mlemo.thresholds.Calibrated` rule, also for the calibrated probabilities; and
    ``<stage>/f1_by_threshold``, F1 of each label against its threshold, with the fitted one marked.

    Args:
        every_n_epochs: Draw in training after each so many epochs, more than 1 where an epoch takes a second; 0 draws
            nothing, not even after training.

    Raises:
        ValueError: ``every_n_epochs`` is negative.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        super().__init__()
        if every_n_epochs < 0:
            raise ValueError(f"figures.every_n_epochs must be at least 0, found {every_n_epochs}")
        self.every_n_epochs = every_n_epochs

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Draw and hand over to TensorBoard."""
        boards = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if not self.every_n_epochs or not boards or not trainer.is_global_zero or stage == "predict":
            return
        if trainer.state.fn == TrainerFn.FITTING and trainer.current_epoch % self.every_n_epochs:
            return
        tuning = tuned_rule(trainer, stage, outputs)
        probabilities = outputs.probabilities
        decided = outputs.decided() if tuning is None else tuning.decided(outputs)
        space, decisions, f1 = pl_module.label_space, decided.decisions, decided.label_values["f1"]
        support = (outputs.targets * outputs.mask).sum(0)
        shown = most_positive(support)
        known = outputs.mask[:, shown]
        figures = {
            "class_f1": class_f1_figure(space.names, f1, support),
            "label_correlation": correlation_figure(
                [space.names[label] for label in shown.tolist()],
                label_correlation(outputs.targets[:, shown], known),
                label_correlation(decisions[:, shown].float(), known),
                of=len(space),
            ),
        }
        if trainer.state.fn != TrainerFn.FITTING:
            curves = {"model": probabilities}
            rule = None if tuning is None else tuning.rule
            rule = rule.rule if isinstance(rule, AtLeastOne) else rule
            if isinstance(rule, Calibrated):
                curves["calibrated"] = rule.probabilities(probabilities)
            figures["reliability"] = reliability_figure(space.names, curves, outputs.targets, outputs.mask)
            fitted = None if rule is None else rule.thresholds()
            figures["f1_by_threshold"] = threshold_figure(
                space.names,
                probabilities,
                outputs.targets,
                outputs.mask,
                None if fitted is None else fitted.cpu().expand(len(space)),
            )
        for board in boards:
            for name, figure in figures.items():
                board.add_figure(f"{stage}/{name}", figure, trainer.global_step)
