"""What `make bench` measures: one module an area, each with `measure() -> list[Figure]`."""
