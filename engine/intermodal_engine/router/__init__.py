"""The data plane of the endpoints: health, zones, routing."""
