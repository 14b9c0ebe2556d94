"""Parts of ``mlemo explain``: explanations of predictions, and correct and wrong decisions of a run."""
