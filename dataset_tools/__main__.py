"""Entry point of ``fmn-data`` and ``python -m dataset_tools``."""

from dataset_tools.core.early_interrupts import end_at_interrupt


def main() -> None:
    """Runs the command line."""
    end_at_interrupt()
    from dataset_tools.cli.main import main as run  # takes half a second

    run()


if __name__ == "__main__":
    main()
