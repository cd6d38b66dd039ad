"""All SQL of the janitor, a module per table. Functions take the connection of the caller's transaction."""
