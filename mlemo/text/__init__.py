"""Text cleaning before tokenization: pure functions ``str -> str``, and cleanings that combine them by switches."""

from mlemo.text.arabic import ArabicTweets
from mlemo.text.base import TextCleaning, cleaning_from_dict, cleaning_to_dict
from mlemo.text.tweets import Tweets, tweet_pre_tokenizer

__all__ = [
    "ArabicTweets",
    "TextCleaning",
    "Tweets",
    "cleaning_from_dict",
    "cleaning_to_dict",
    "tweet_pre_tokenizer",
]
