"""Source videos: opening, frame index, timestamps, frame-exact decoding."""
