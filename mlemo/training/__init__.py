"""Training: LightningCLI with the parser, trainer and callbacks of mlemo."""

from mlemo.training.commands import instantiate, run
from mlemo.training.lightning_cli import MlemoCLI, default_precision, make_cli

__all__ = ["MlemoCLI", "default_precision", "instantiate", "make_cli", "run"]
