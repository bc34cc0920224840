"""Webhooks: events of `ingest.store.events` on their way to endpoints of others, by the Standard Webhooks spec.

Owns endpoints, their secrets, deliveries, and every connection to an address that somebody else wrote down. Does not
own events. Invariants: a delivery is signed by every secret that has not ended; no connection goes to an address that
`guard` has not judged; a delivery that may have arrived is sent again rather than dropped. Read `delivery.py` first.
"""
