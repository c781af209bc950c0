"""Audio of utterances: resampling, loudness, quality, WAV files."""
