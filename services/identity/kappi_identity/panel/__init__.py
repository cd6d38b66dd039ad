"""The admin panel: starlette-admin in front of the same use cases as the API.

Its views never touch the database: what they write goes through a use case, and so is published.
"""
