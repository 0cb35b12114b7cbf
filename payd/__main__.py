"""Entry point of `payd` and `python -m payd`."""

import gc

#: Imports make some hundred thousand objects and hardly any garbage. At Python's threshold of 700
#: the collector takes about a tenth of the start's time.
_GC_THRESHOLD = 100_000


def main() -> None:
    """Run the command line."""
    gc.set_threshold(_GC_THRESHOLD)
    from payd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
