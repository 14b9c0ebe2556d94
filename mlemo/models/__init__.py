"""Models: one LightningModule per published system, and baselines."""

from mlemo.models.base import MultiLabelModel
from mlemo.models.bert_wdl import BertWDL
from mlemo.models.c2ae import C2AE
from mlemo.models.classifier_chain import ClassifierChain
from mlemo.models.clif import CLIF
from mlemo.models.contrastive import ContrastiveClassifier
from mlemo.models.dela import DELA
from mlemo.models.feature_model import FeatureModel
from mlemo.models.fitted_model import FittedModel
from mlemo.models.frozen_head import FrozenHead
from mlemo.models.gthl_emo import GTHLEmo
from mlemo.models.kim_cnn import KimCNN
from mlemo.models.linear import Linear
from mlemo.models.mpvae import MPVAE
from mlemo.models.nearest_neighbors import NearestNeighbors
from mlemo.models.optimization import Optimization
from mlemo.models.paca import PACA
from mlemo.models.text_model import TextModel
from mlemo.models.transformer import TransformerClassifier
from mlemo.models.zero_shot import ZeroShot

__all__ = [
    "C2AE",
    "CLIF",
    "DELA",
    "MPVAE",
    "PACA",
    "BertWDL",
    "ClassifierChain",
    "ContrastiveClassifier",
    "FeatureModel",
    "FittedModel",
    "FrozenHead",
    "GTHLEmo",
    "KimCNN",
    "Linear",
    "MultiLabelModel",
    "NearestNeighbors",
    "Optimization",
    "TextModel",
    "TransformerClassifier",
    "ZeroShot",
]
