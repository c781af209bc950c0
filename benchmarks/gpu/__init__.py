"""The check of everything that needs a GPU, as one command: ``make gpu``."""
