"""Data of earlier releases, and the test that the present one continues with it."""
