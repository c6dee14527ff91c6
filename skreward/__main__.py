"""``python -m skreward`` is the command ``skreward``."""

import sys


def main():
    """Run the command; an interrupt while it is still being imported ends it too."""
    try:
        from skreward.cli.main import main as command

        return command()
    except KeyboardInterrupt:
        print("skreward: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
