"""Search of a gallery by speech, clip or text."""
