"""One module a service, one function an operation: dict in, dict out."""
