"""What Kappi does per second, and how long it takes: measured on the whole running stack (`make bench`)."""
