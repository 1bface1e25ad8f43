"""The program `train` inside a training image."""

__version__ = "0.1.0"
