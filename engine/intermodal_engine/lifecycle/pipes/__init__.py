"""Pipe mode: a FIFO an epoch, filled by a small program that outlives the engine."""
