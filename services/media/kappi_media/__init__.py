"""The media service: uploads straight to the object store, the items they become, and downloads."""
