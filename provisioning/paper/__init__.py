"""PDF papers: set by Typst, with a Chinese font of the machine embedded. Owns neither texts nor drawings (ADR 0085)."""
