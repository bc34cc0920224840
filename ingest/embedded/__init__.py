"""PostgreSQL and an MQTT broker from wheels, for the demo and the tests: loopback only, a password each, on disk.

Owns           preparing a directory, the command line of each server, waiting until it answers.
Does not own   supervision: whoever starts a server is its parent and ends it.
Invariants     a server killed at any moment starts again on the same directory and port; durability stays on.
Read first     server.py
"""
