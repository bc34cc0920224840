"""The shared vocabulary of Metertree and its wire form.

Owns           the nouns that edge and centre must spell the same way (OBIS code, quantity, reading, interval,
               identifiers), the signed envelope and receipt, the topic grammar, the one door to time.
Does not own   rules: no tariff, no register map, no retry, no storage.
Invariants     imports nothing of ours; energy and mantissas are integers; times are aware and UTC.
Read first     envelope.py
"""
