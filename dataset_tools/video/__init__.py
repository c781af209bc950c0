"""Source videos: opened, their frames numbered and timed, decoded frame by frame."""
