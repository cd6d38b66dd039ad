"""The OpenAPI document of the public surface, merged from the services' own documents."""
