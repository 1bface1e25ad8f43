"""Hostile input for the engine: requests of every operation, archives, arguments."""
