"""The service's one web page, on which a new password is chosen."""
