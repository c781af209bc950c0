"""Comparison of systems: plan, runs, results, tables, files, plot."""
