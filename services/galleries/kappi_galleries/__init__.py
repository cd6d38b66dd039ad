"""The galleries service: galleries with their codes, access keys, lifetimes and counters, and the grants that
open them.
"""
