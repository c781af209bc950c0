"""Recording booth: a web page where speakers record the descriptions."""
