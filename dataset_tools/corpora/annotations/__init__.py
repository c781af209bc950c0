"""Annotation files of one's own footage."""
