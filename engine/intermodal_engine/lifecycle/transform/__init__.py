"""Batch transform's data: what goes from objects to instances, and back into objects.

The engine plans and publishes; a program of its own for each instance moves the bytes, so that
neither the engine's death nor its load stops it.
"""
