"""The program `serve` inside a serving image."""

__version__ = "0.1.0"
