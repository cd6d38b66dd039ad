"""The admin panel: starlette-admin in front of the same use cases as the API.

Its views never write to the database directly. Every change goes through a use case, which publishes it.
"""
