"""Search of a gallery by speech or by a clip."""
