"""The stand-in corpus: a made-up kitchen in MPII Cooking 2's layout."""
