"""The function at the store: writes what an original shows on the original, and tells Kappi that it arrived.

Runs on AWS Lambda, packed by `build_function.py` with the parts of `kappi_media` that need the standard
library only. botocore comes with the runtime.
"""
