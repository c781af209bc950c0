"""Withdrawal of a recorded speaker: removal of all data of the voice, with a tombstone."""
