"""Models: one LightningModule a published system."""

from mlemo.models.base import MultiLabelModel, TextModel
from mlemo.models.bert_wdl import BertWDL
from mlemo.models.optimization import Optimization
from mlemo.models.transformer import TransformerClassifier

__all__ = ["BertWDL", "MultiLabelModel", "Optimization", "TextModel", "TransformerClassifier"]
