"""Who may speak, and what is wired to what.

Owns           keys and their files, the dated model of a site and its file form, the gateway's configuration,
               enrolment of a gateway by a claim, `metertree-provision`.
Does not own   readings, tariffs and pools (allocation_engine), the database (ingest.store).
Invariants     a Site from `read_site` is consistent at every instant; a document form decodes to an equal object;
               a claim is kept only as its hash and serves once.
Read first     site.py
"""
