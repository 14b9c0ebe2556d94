"""Hyper-parameter search: the file of a sweep, its trials, their processes, and what is written of them."""
