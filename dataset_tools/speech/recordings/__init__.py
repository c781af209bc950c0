"""Recordings of people: import, voices, consents."""
