"""Parts of ``mlemo describe``: what is in a corpus, before any model."""
