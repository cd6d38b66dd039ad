"""The galleries service's domain: values and rules, without I/O."""
