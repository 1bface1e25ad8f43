"""A thin SDK for training and serving in containers, on AWS or on the local engine."""

__version__ = "0.1.0"
