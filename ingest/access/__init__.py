"""Who may do what, and who sees what: one policy table, and the pure code that reads it.

Owns        roles, permissions, classes of fields, the row of every route; `Policy.may`, `Policy.sees`, `Policy.mask`
Does not    look at requests (ingest/api/door.py does) or at tokens (ingest/api/admission.py does)
Invariants  what no row names is refused; a field that no rule names is hidden; a principal without sites sees none
Read first  policy.py, then policy/roles.toml

The table lies in policy/*.toml, one file for each part of the house; together they are one table, and a row that
stands twice is a fault.
"""
