"""The one page people see of this service: where a new password is chosen."""
