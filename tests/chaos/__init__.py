"""A whole system, two processes of each role on real servers, under load and faults."""
