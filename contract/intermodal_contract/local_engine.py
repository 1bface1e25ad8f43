"""How a client on this machine knows the local engine again."""

METRICS_PATH = "/metrics"
"""Answers anybody on this machine, unsigned, in Prometheus' text format."""

HEALTH_PATH = "/_intermodal/health"
"""Answers anybody on this machine, unsigned, with JSON: `status`, `pid`, `version`, `home`."""
