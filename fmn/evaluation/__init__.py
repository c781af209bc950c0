"""Evaluation of a trained run: metrics, tables, plots, predictions."""
