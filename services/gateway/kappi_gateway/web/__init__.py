"""The web pages: plain HTML, one style sheet and one script each, all in one answer."""
