"""Galleries: their codes, access keys, life and counters, and the grants that open them."""
