"""Progress of long work: a bar on a terminal, in a log a line every ten seconds."""

import os
import sys
import threading
import time
from typing import Any, Self

# Seconds until anything is shown, and from one line to the next.
FIRST, EVERY = 2.0, 10.0


class Lines:
    """Write how far the work is to stderr, now and then, while it goes on.

    ``total=None`` is work whose amount is not known. The lines come from a thread, so
    that a step which takes minutes is no silence.
    """

    def __init__(self, total: int | None, what: str, unit: str = ""):
        self.total, self.what, self.unit = total, what, unit
        self.done, self._started = 0, time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._ended.set()
        self._thread.join()

    def update(self, n: int = 1) -> None:
        """Count n more units as done."""
        self.done += n

    def _write(self):
        pause = FIRST
        while not self._ended.wait(pause):
            pause = EVERY
            try:
                sys.stderr.write(f"skreward: {self.line()}\n")
                sys.stderr.flush()
            except (OSError, ValueError):  # closed, or nobody reads it
                return

    def line(self) -> str:
        """Say how far the work is."""
        seconds = time.monotonic() - self._started
        if self.total is None:
            return f"{self.what}, {seconds:.0f} s"
        said = f"{self.what}, {self.done} of {self.total} {self.unit}, {seconds:.0f} s"
        if self.done:
            left = seconds / self.done * (self.total - self.done)
            said += f", about {left:.0f} s left"
        return said


class Silence:
    """Progress that nobody wants to see."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        return None

    def update(self, n: int = 1) -> None:
        """Count nothing."""


def progress(total: int | None, what: str, unit: str = "", kind: Any = "lines"):
    """Show how far work is, once it has taken two seconds.

    Parameters
    ----------
    total : int or None
        Units of work; None is not known, and gives lines in place of a bar.
    what, unit : str
        What is done, and what is counted.
    kind : bool, "auto" or "lines", default="lines"
        "lines" is a bar on a terminal and else a line every ten seconds; "auto" a bar
        on a terminal and else nothing; True a bar at once, False nothing. The
        environment variable TQDM_DISABLE keeps all but True from being shown.

    Returns
    -------
    shown : context manager
        With a method ``update(n)``.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    is_off = bool(os.environ.get("TQDM_DISABLE")) or sys.stderr is None
    if kind is False or (kind is not True and is_off):
        return Silence()
    if kind == "auto" and not is_terminal:
        return Silence()
    if total is None or (kind == "lines" and not is_terminal):
        return Lines(total, what, unit)
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=what, unit=unit, delay=0 if kind is True else FIRST)
