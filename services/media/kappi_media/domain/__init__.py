"""The domain of the media service: values and rules, without I/O."""
