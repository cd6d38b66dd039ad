"""Measures the throughput and latency of Kappi on the whole running stack (`make bench`)."""
