"""Retrieval metrics: recall, class mAP, chance, bootstrap intervals."""

from fmn.metrics.retrieval_metrics import recall_at_k

__all__ = ["recall_at_k"]
