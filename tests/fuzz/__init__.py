"""Bad input for a real `serve`: `python -m tests.fuzz` (`make fuzz`) sends it and judges."""
