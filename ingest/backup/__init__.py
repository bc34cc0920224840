"""Backups of the whole database, their check without restoring, and the way back.

Owns           the folder of a backup: its parts, its manifest, who may read it; base backups by PostgreSQL's own tools.
Does not own   SQL (store/snapshot.py), asking gateways for what a backup lacks (intake does, by itself).
Invariants     a backup is whole or unfinished; what is restored is whole or not there; nothing is restored unchecked.
Read first     manifest.py, taking.py
"""
