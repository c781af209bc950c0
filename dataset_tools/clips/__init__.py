"""Clips: planning, selection, timing, encoding, cutting."""
