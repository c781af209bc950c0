"""Inputs that ship with the toolkit: classes, sentences, the labeling config."""
