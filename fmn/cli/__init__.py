"""The command line ``fmn``."""
