"""``python -m skreward`` is the command ``skreward``."""

import gc
import sys

# Objects that are made between two looks for those that are held in circles.
BETWEEN_LOOKS = 50_000


def main():
    """Run the command; an interrupt while it is still being imported ends it too."""
    # A command loads modules of hundreds of thousands of objects, which stay to its
    # end: looking at them again and again, and once more then, took a seventh of `fit`.
    gc.set_threshold(BETWEEN_LOOKS)
    try:
        from skreward.cli.main import main as command

        return command()
    except KeyboardInterrupt:
        print("skreward: interrupted", file=sys.stderr)
        return 130
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
