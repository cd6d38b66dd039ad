"""All SQL of the media service, a module per use case.

Statements on hot paths are single asyncpg statements: one round trip, one transaction. Whoever changes an
item locks its gallery's `contents` row first, always, so that no two statements can wait for each other in
a circle, and so that nothing slips into a gallery while it is being deleted.
"""
