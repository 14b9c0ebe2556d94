"""Readers of the formats of corpora: tables, ARFF, the XML of Mulan, Arrow, and files that are fetched."""
