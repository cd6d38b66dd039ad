"""The media service's domain: values and rules, without I/O."""
