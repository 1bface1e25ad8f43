"""What the engine keeps: rows, events, objects, log streams."""
