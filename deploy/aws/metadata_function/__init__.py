"""The function at the object store: it tags an original with its metadata, and notifies Kappi of its upload.

It runs on AWS Lambda, packed by `build_function.py` with the parts of `kappi_media` that need the standard
library only. botocore is part of the runtime.
"""
