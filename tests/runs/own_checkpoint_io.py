"""A user's own plugin for checkpoints, named by dotted path in test_checkpoint_io.py."""

from lightning.fabric.plugins import TorchCheckpointIO


class Own(TorchCheckpointIO):
    """Writes as Lightning does."""
