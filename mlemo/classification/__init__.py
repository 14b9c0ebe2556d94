"""Classification of files: rows in, the same rows with their labels out, in constant memory and resumable."""

from mlemo.classification.job import Job
from mlemo.classification.source import Source
from mlemo.classification.stream import stream
from mlemo.classification.summary import Summary

__all__ = ["Job", "Source", "Summary", "stream"]
