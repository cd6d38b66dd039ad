"""All SQL of the identity service.

`…Queries` are single statements outside any other transaction; hot ones go straight to asyncpg. `…Rows` work
within one transaction: lock first, then decide, then write.
"""
