"""The central service: intake, store, settlement, closing, API, console.

Owns           the database (`store/` alone speaks SQL), the intake of sealed envelopes and the receipts for them,
               settled intervals, allocation runs and statements as stored, the HTTP API, the console, the demo.
Does not own   the form of an envelope (`metering`), what a register means (`device_profiles`), who is wired to what
               (`provisioning`), how a cost is split (`allocation_engine`). It never imports `edge_agent`.
Invariants     a receipt is signed only after the commit it reports; an envelope enters the books once or not at all;
               nothing that arrives is dropped without a trace; only `app.py`, `cli.py` and the commands know which
               adapter stands behind a port.
Read first     intake.py
"""
