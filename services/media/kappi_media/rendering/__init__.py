"""Making renditions: small upright JPEGs without metadata, out of originals nobody trusts.

Every decoder runs in a process of its own (`worker.py`) that holds no credentials, writes no files and asks
the parent for the bytes it needs; a crash, a runaway or a memory bomb costs that process and that one item.
`renderer.py` is the parent's side and all that callers import. This package itself stays empty so that the
decoder processes start fast and small.
"""
