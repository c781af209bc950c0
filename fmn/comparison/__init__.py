"""The parts of `fmn.comparison.compare`: runs, figures, tables, files, the plot."""
