"""Reading digits off photos, as a check of what people write down.

Owns: the port `PhotoReader`, and one adapter to it that runs models which were installed as a package. Does not own:
what is made of the digits (provisioning/hand_reading.py); nothing here decides about money.
Invariants: nothing goes over a network; without the optional extra everything else works, and a person types.
Read first: reader.py
"""
