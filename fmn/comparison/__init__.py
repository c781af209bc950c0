"""The parts of `fmn.compare`: runs, figures, tables, files, the plot."""
