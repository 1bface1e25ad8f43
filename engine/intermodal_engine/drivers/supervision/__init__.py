"""The small process that owns one instance. Standard library only, and little of it."""
