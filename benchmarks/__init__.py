"""Benchmarks: speed and memory against a named peer or limit that is measured in the same run."""
