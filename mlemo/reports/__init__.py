"""Reports of studies: their numbers beside the published ones, as Markdown, LaTeX and a page, with figures."""
