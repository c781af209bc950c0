"""The report: statistics and thumbnails of a data set, as one HTML page."""
