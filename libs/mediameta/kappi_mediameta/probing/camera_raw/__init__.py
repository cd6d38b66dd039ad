"""Camera RAW: what each format is recognised by, its facts, and where its embedded previews are."""
