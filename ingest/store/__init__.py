"""The only owner of the database.

Owns           the schema, its migrations, every SQL statement (named queries in `queries/*.sql`), the pool.
Does not own   rules: what is accepted is decided by `ingest.verify`, what a reading means by the profiles.
Invariants     `schema.sql` equals the sum of the migrations; an applied migration never changes; a transaction is
               opened by the caller, so that one commit covers everything it must.
Read first     schema.sql
"""
