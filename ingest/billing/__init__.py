"""What billing is given: lines of the feed as columns of our own words and of FOCUS, in JSON, CSV, Parquet and Arrow.

Owns        columns (columns.py, focus.py), forms (forms.py)
Does not    read the database (ingest/store/feed.py does) or decide who sees what (ingest/access does)
Invariants  money is a whole number of minor units, or its exact decimal; a line keeps its id for ever
Read first  columns.py
"""
