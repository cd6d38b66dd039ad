"""The web pages: plain HTML with one style sheet and one script each, sent as one answer."""
