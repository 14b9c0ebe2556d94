"""Files of a run folder: their names and formats, how they are written, and the manifest of a run."""
