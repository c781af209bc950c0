"""A recorded speaker withdraws: everything of the voice goes, a tombstone stays."""
