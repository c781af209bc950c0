"""Clips: planning, selection, frame index, decoding, encoding, cutting."""
