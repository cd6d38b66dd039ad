"""The stack fixtures of this folder's tests."""

from kappi_testkit.stack import embedded_stack, stack_settings

__all__ = ["embedded_stack", "stack_settings"]
