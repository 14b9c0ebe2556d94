"""Files of a run folder: their names and formats, how they are written, and what a folder says of its run."""
