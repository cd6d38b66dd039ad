"""The public entry: routing, credentials, limits, problem documents, one OpenAPI document, the web pages.

`routes.py` lists the public operations. `http` is the client's side of a request, `upstream.py` the services'
side, and `proxy` joins both. `auth` exchanges credentials for grants. `limits` bounds what one client may do.
`openapi` and `web` are what the gateway answers by itself.
"""
