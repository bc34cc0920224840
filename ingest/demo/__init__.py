"""The demonstration: one site, one month, the whole way from register to bill line, as separate programs.

Owns           the played world (loads, meters on the wire, time, a line that is cut), the supervisor of the demo's
               programs, the script of the demo and its printed report.
Does not own   any rule of the product: the demo only starts the programs a user would start and speaks to their
               interfaces. Nothing outside this package imports it, except the two commands that start it.
Invariants     the result depends on the site, the loads and the number of days alone: not on ports, on speed, on
               which program was killed and started again.
Read first     play.py
"""
