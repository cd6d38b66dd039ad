"""The product's jobs through the gateway, the same on every stack (see `conftest.py`)."""
