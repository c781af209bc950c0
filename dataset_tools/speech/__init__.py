"""Spoken descriptions: sentences, speech synthesis, recordings, audio quality."""
