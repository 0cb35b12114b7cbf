"""Entry point of `payd` and `python -m payd`."""

import gc

#: Imports make some 200,000 objects and hardly any garbage, so they are not looked through for it.
#: At Python's threshold of 700 that takes about a tenth of the start's time.
_GC_THRESHOLD = 300_000


def main() -> None:
    """Run the command line."""
    gc.set_threshold(_GC_THRESHOLD)
    from payd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
