"""OpenCode, where the agent works: the v1 routes of `opencode serve` 1.18, behind values of our own.

wire, sse, parts, outcome, inbound   bytes -> frames -> facts; pure
client, stopping, stream             the aiohttp shell: one session, one reader for each server
server, adopt, sandbox, settings     the managed server: start, adopt or stop it, and hold it in
"""
