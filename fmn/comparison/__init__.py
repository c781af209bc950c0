"""The parts of `fmn.comparison.compare`: the plan, runs, figures, tables, files, the plot."""
