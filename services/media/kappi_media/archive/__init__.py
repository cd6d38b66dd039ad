"""The archive of a gallery: one ZIP, streamed (ADR-0018).

`names`, `times`, `records`, `layout` and `conditions` are pure; `reading`, `checksums` and `streaming` move
bytes.
"""
