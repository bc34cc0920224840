"""The rulebook: drafts of what a site divides its costs by, from the first block to the version in force.

Owns           parts of a site's books, changes to them, the form in which a pool is written, who may release
Does not own   what rules mean and whether they conserve (allocation_engine), the database (store), pages (console)
Invariants     a draft changes nothing but what it names; what somebody else released meanwhile is never overwritten;
               nobody releases what he wrote

Spine          `desk.RuleDesk`: save, check, try, hand in, release
"""
