"""Sample media, made by real encoders when a test asks for them, and a harness of the media service."""
