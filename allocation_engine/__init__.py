"""Who owes which fen, and why: registers become interval energy, energy becomes cost, cost becomes lines.

Owns           slot energy and its quality, the balance of the meter tree, tariffs, pools, formulas, exact
               apportionment, the signed statement and its verification.
Does not own   where readings, sites and leases come from (its inputs are plain values), storage, keys.
Invariants     no I/O but the two TOML readers and the CSV reader; energy and money are integers; sum(lines) +
               residual = pool cost, checked by code that -O cannot remove; same inputs give the same bytes.
Read first     close_period.py
"""
