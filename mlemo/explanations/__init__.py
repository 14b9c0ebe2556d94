"""Parts of ``mlemo explain``: what speaks for a prediction, and what a run got right and wrong."""
