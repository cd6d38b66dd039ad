"""Location removal: patches that make a copy of an original without its place, the picture unchanged."""
