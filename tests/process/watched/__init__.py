"""What a real Prometheus sees of one server. A package, so that both end with its last test."""
