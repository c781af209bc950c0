"""``python -m fmn``: the command line `fmn`, as ``torchrun -m fmn train …`` starts it once a process."""

from fmn.cli.main import main

main()
