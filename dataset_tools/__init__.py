"""Builds the video–speech data set, in the order the data flows."""
