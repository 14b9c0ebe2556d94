"""Corpora: one datamodule each, and what they share."""

from mlemo.data.base import EmotionDataModule, Split
from mlemo.data.collate import TokenizedCorpus
from mlemo.data.corpus import Corpus
from mlemo.data.dataset_statistics import DatasetStatistics, statistics
from mlemo.data.exaaec import ExaAEC
from mlemo.data.files import TextFiles
from mlemo.data.goemotions import GoEmotions
from mlemo.data.mulan import Mulan
from mlemo.data.nlpcc2018 import NLPCC2018
from mlemo.data.prompt import Prompt
from mlemo.data.rencecps import RenCECps
from mlemo.data.semeval2018 import SemEval2018
from mlemo.data.semeval2025 import SemEval2025
from mlemo.data.synthetic import SyntheticEmotions

__all__ = [
    "NLPCC2018",
    "Corpus",
    "DatasetStatistics",
    "EmotionDataModule",
    "ExaAEC",
    "GoEmotions",
    "Mulan",
    "Prompt",
    "RenCECps",
    "SemEval2018",
    "SemEval2025",
    "Split",
    "SyntheticEmotions",
    "TextFiles",
    "TokenizedCorpus",
    "statistics",
]
