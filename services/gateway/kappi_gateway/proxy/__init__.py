"""Passes requests to the services and streams their answers back."""
