"""Reports of studies: measured and published numbers with figures, as Markdown, LaTeX and HTML."""
