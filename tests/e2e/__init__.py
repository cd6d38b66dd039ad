"""The product's main features through the gateway, the same on every stack (see `conftest.py`)."""
