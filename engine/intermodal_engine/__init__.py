"""AWS on one machine for machine-learning jobs: speaks the wire APIs and really runs the work."""

__version__ = "0.1.0"
