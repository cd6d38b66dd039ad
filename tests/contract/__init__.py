"""Promises of the packages to their users, tested without a running stack."""
