"""The HTTP API under `/v1`, health and metrics. Plain `def` handlers over the same store as everything else.

Reads are open to whoever reaches the listener (loopback by default); writes need the admin token, except an enrolment,
which its own claim and signature authorise.
"""
