"""Annotation formats for your own footage."""
