"""Pictures and films as real encoders write them, and what other programs read in them."""
