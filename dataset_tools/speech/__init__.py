"""Spoken descriptions: sentences, voices, audio quality."""
