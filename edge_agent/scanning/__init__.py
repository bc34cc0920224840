"""The scan of a line: which meters hang on it, how they are spoken to, which models they are. See docs/adr/0082."""
