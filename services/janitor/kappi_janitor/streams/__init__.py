"""The Faust part of the janitor: an agent over the ticks."""
