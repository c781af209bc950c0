"""The baselines, one file per system."""
