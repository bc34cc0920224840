"""Closes one period of many sites: each site is one task, given to a worker of an engine that others wrote.

Owns           which sites, what a worker is told, what it answers, who tries again after a death, what a person sees.
Does not own   how a site is closed (ingest/closing.py), and how work is dealt out between machines (Dask).
Invariants     a task may run twice: a run is named by its content, so the second one stores nothing. What a worker is
               told holds no secret; a worker whose key, salts, profiles, program or database differ does nothing.
Read first     order.py, site_task.py
"""
