"""Program 1: the gateway. Reads every meter at each mark, seals what it read, keeps it until the centre has it.

Owns           the poll cycle, the arbiter and transaction layer of each port, the outbox, the uplink to the broker.
Does not own   register maps and frames (device_profiles), keys and configuration (provisioning), any rule about money.
Invariants     a batch is in the outbox, synced, before it is sent, and is freed only by a receipt of the centre;
               seq has no gaps; the uplink never makes the poll cycle wait; repeating a mark gives the same octets.
Read first     poll_cycle.py, then sweep.py, uplink.py
"""
