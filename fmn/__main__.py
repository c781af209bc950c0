"""Entry point of ``fmn`` and ``python -m fmn``; ``torchrun -m fmn train …`` runs it in each process."""

from dataset_tools.core.early_interrupts import end_at_interrupt


def main() -> None:
    """Runs the command line."""
    end_at_interrupt()
    from fmn.cli.main import main as run  # takes half a second

    run()


if __name__ == "__main__":
    main()
