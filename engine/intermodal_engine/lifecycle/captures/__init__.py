"""Data capture: the calls that the router keeps, written to S3 in the background."""
