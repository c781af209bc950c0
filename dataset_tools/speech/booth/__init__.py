"""The recording booth: a web page where people record the descriptions."""
