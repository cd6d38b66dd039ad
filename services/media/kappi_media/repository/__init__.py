"""All SQL of the media service, one module per use case.

Statements on hot paths are single asyncpg statements: one round trip, one transaction. A statement that
changes an item always locks its gallery's `contents` row first. So no two statements wait for each other in a
circle, and nothing is added to a gallery while it is being deleted.
"""
