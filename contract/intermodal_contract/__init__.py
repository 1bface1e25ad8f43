"""The words that all parts share: `/opt/ml`, environment variables, statuses, instance types.

Standard library only.
"""

__version__ = "0.1.0"
