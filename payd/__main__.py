"""Entry point of `payd` and `python -m payd`."""


def main() -> None:
    """Run the command line."""
    from payd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
