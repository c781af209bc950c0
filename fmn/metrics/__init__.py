"""Retrieval metrics: recall, class mAP, chance, bootstrap intervals."""
