"""The ledger: where sessions, effects and the journal live, and in which alone a turn is decided.

tx        what a function over the ledger is given
turns     an event is heard: one transaction from dedupe key to effects
effects   claim, finish, retry, park
read      what people and doors look at
changes   what is new since a moment, for those who keep a copy
cleanup   what may be forgotten
sqlite    SqliteLedger: one file, one writer thread, group commit
"""
