"""Dragoman stands between Linear, where people ask, and OpenCode, where an agent works."""

__version__ = "0.1.0"
