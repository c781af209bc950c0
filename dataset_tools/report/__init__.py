"""The report: statistics and pictures of a data set, as one HTML page."""
