"""What a person needs to judge a run: its stages, whether it adds up, what changed, what stands out. Pure.

Owns no database and no words: `ingest.review_desk` reads, `ingest.console.review_view` tells. Read `sheet.py` first.
"""
