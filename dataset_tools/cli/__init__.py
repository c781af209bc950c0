"""The command line ``fmn-data``."""
