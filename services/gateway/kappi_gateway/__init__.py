"""The one public door: routing, credentials, limits, problem documents, one OpenAPI, the web page."""
