"""Pairs of clips and utterances: pairing, train/test splits, leak check."""
