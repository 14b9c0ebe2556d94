"""Studies: published figures and baselines, each made again by one command."""
