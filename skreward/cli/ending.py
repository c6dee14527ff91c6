"""However a command ends: an exit code, and one line on stderr where it failed."""

import _thread
import logging
import os
import sys
import threading
import traceback
import warnings
from contextlib import contextmanager, redirect_stdout

import click
from click.shell_completion import shell_complete

from skreward.cli.printing import StdoutError, UnreadError, warn
from skreward.cli.table import DataError

FAILED, INTERRUPTED, UNREAD = 2, 130, 141
COMPLETE = "_SKREWARD_COMPLETE"
LONGEST = 1000
# Errors whose text is meant to be read; of any other the type is told as well.
SPOKEN = (DataError, StdoutError, ImportError, RuntimeError, TypeError, ValueError)


class Stdout:
    """Stdout whose errors are told from those of files."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        """Write text, to the end."""
        with self._named_errors():
            n = self._stream.write(text)
            self._stream.flush()
            return n

    def flush(self):
        """Write what is left."""
        with self._named_errors():
            self._stream.flush()

    @contextmanager
    def _named_errors(self):
        try:
            yield
        except BrokenPipeError:
            raise UnreadError from None
        except OSError as error:
            said = f"stdout cannot be written to ({error.strerror})"
            raise StdoutError(said) from None

    def __getattr__(self, name):
        return getattr(self._stream, name)


def ends_in_a_line(group: click.Group, args=None) -> int:
    """Run a group of commands; give the exit code."""
    args = sys.argv[1:] if args is None else list(args)
    shows_traceback = "--traceback" in args
    logging.basicConfig(level=logging.WARNING, format="skreward: %(message)s")
    stdout = Stdout(sys.stdout)
    with warnings.catch_warnings(), redirect_stdout(stdout), _no_interrupt_lost():
        warnings.showwarning = _show_warning
        try:
            code = _invoke(group, args)
            stdout.flush()
        except SystemExit:
            raise
        except BaseException as error:
            # Of any class: some libraries panic outside of Exception.
            if shows_traceback:
                traceback.print_exc()
            return _fail(error)
    return code


@contextmanager
def _no_interrupt_lost():
    """Give an interrupt again that fell into a finalizer, where Python drops it."""
    before = sys.unraisablehook

    def hook(unraisable):
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Later: here it would be dropped again.
            threading.Timer(0.05, _thread.interrupt_main).start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _invoke(group, args):
    asked = os.environ.get(COMPLETE)
    if asked:
        return shell_complete(group, {}, "skreward", COMPLETE, asked)
    try:
        with group.make_context("skreward", args) as context:
            group.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.exceptions.Exit as error:
        return error.exit_code
    return 0


def _fail(error):
    if isinstance(error, UnreadError):
        # As a program that the signal ends: who reads no more wants no word.
        _give_up_stdout()
        return UNREAD
    if _is_interrupt(error):
        click.echo("skreward: interrupted", err=True)
        return INTERRUPTED
    text = " ".join(_describe(error).split())
    if len(text) > LONGEST:
        text = text[: LONGEST - 3] + "..."
    click.echo(f"skreward: {text}", err=True)
    if isinstance(error, StdoutError):
        _give_up_stdout()
    return FAILED


def _is_interrupt(error):
    """Whether an error is an interrupt, or came of one, as in a failed import."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
            return True
        error = error.__cause__ or error.__context__
    return False


def _describe(error):
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, MemoryError):
        return str(error) or "the memory is full"
    if isinstance(error, OSError):
        if error.strerror is None:
            return str(error) or type(error).__name__
        name = "" if error.filename is None else f"{error.filename}: "
        return f"{name}{error.strerror}"
    text = str(error)
    if isinstance(error, SPOKEN) and text:
        return text
    return f"{type(error).__name__}: {text} (skreward --traceback ... shows where)"


def _give_up_stdout():
    """Let Python not fail again at its end, when it flushes what is left."""
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    except (OSError, ValueError):
        return


def _show_warning(message, category, filename, lineno, file=None, line=None):
    warn(str(message))
