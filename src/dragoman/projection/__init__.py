"""A copy of the ledger in Redis or Valkey, for other readers. It decides nothing, and can be made anew at any time.

layout   the keys and what lies under them: a contract with readers, see docs/how-to/redis.md
store    RedisStore: looks, writes, sweeps; a change is written whole or not at all
"""
