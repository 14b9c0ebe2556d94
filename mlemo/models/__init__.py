"""Models: one LightningModule a published system."""

from mlemo.models.base import MultiLabelModel
from mlemo.models.bert_wdl import BertWDL
from mlemo.models.feature_model import FeatureModel
from mlemo.models.optimization import Optimization
from mlemo.models.text_model import TextModel
from mlemo.models.transformer import TransformerClassifier

__all__ = ["BertWDL", "FeatureModel", "MultiLabelModel", "Optimization", "TextModel", "TransformerClassifier"]
