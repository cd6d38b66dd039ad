"""The use cases of the identity service, one transaction each."""
