"""Uploads straight to the object store, the items they become, and the way back down."""
