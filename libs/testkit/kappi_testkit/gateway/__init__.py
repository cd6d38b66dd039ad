"""A gateway between a raw client and fake services."""
