"""Series for charts: what flowed or stood at one metering point over time, thinned on the server, gaps left open.

Owns: which stored numbers make a series, how many of them are shown, and sums by hour, day and month of the site.
Does not own: how energy comes from registers (settlement does) and how a chart is drawn (the console does).
Invariants: every number is an integer; a slot that is not known is never crossed, it is told as a break; a point is
never better than the weakest slot it stands for. Read `reader.py` first.
"""
