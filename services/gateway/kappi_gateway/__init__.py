"""The public entry: routing, credentials, limits, problem documents, one OpenAPI, the web page."""
