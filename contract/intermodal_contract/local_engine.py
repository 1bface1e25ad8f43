"""How a client on this machine knows the local engine again."""

HEALTH_PATH = "/_intermodal/health"
"""Answers anybody on this machine, unsigned, with JSON: `status`, `pid`, `version`, `home`."""
