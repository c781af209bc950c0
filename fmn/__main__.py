"""Entry point of ``python -m fmn``, the command line `fmn`; ``torchrun -m fmn train …`` runs it in each process."""

from fmn.cli.main import main

main()
