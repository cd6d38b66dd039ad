"""The identity service's domain: values and rules, without I/O."""
