"""The installation desk: what an engineer does at a gateway, from the install order to the grant, and what comes later.

Owns: the journal of the installation, photos, signing and delivering it, the gateway's own configuration file. Does not
own: what events mean (provisioning), what meters are found (edge_agent/scanning), whether a display fits its register
(provisioning/display_proof.py), pages and printing.

Invariants: a step that returned is on disk; a step that was killed did not happen or is finished at the next start;
measuring begins at the seal and never waits for a network. Read desk.py first, then journal.py.
"""
