"""Voice engines: text to speech."""
