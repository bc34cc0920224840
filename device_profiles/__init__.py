"""Meters as data, and the pure readers and writers of that data.

Owns           the profile of each meter model (meters/*/*.toml), its checker and catalogue; the protocol families,
               which plan reads and take numbers out of answers; the link framing of each protocol, as conversations;
               the simulated meter that answers by the same profile; what a meter's refusals teach.
Does not own   ports and sockets (edge_agent), CT and PT ratios and what is wired where (provisioning), differences
               between readings (allocation_engine).
Invariants     profiles are data, without expressions; a profile is named by the SHA-256 of its content; whatever octets
               arrive, the outcome is a mantissa, a declared "no value", or a MeterError; never a plausible guess.
               The one module with I/O is simulator.py; catalogue.py reads profile files.
Read first     profile.py, framing/conversation.py, families/family.py, then read_plan.py and decode.py
"""
