"""All SQL of the identity service.

`…Queries` are single statements outside any other transaction, straight to asyncpg where they are hot;
`…Rows` work within one transaction: lock first, then decide, then write.
"""
