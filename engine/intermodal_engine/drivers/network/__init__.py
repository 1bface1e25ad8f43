"""Networks of instances: addresses on the host's own, or a bridge with network namespaces."""
