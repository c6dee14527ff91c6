"""Packages that only a part of this one needs: who wants them, and how to get them."""

from collections.abc import Iterator
from contextlib import contextmanager

COMMANDS = {
    "torch": "pip install torch --index-url https://download.pytorch.org/whl/cpu",
}


@contextmanager
def wanted_by(who: str, package: str) -> Iterator[None]:
    """Import what is inside, or say who needs it and the command that installs it.

    A package that lies there and does not load (a library of the system is missing,
    say) fails with other errors than ImportError; they are told in the same way.

    Examples
    --------
    >>> with wanted_by("A reward network", "torch"):
    ...     raise ModuleNotFoundError("No module named 'torch'", name="torch")
    Traceback (most recent call last):
        ...
    ImportError: A reward network needs torch, which is not installed. Install it
    with: pip install torch --index-url https://download.pytorch.org/whl/cpu
    """
    module = package.replace("-", "_")
    try:
        yield
    except (ImportError, OSError, RuntimeError) as error:
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == module
        state = (
            "is not installed"
            if is_missing
            else f"cannot be imported ({type(error).__name__}: {error})"
        )
        command = COMMANDS.get(package, f"pip install {package}")
        raise ImportError(
            f"{who} needs {package}, which {state}. Install it with: {command}",
            name=module,
        ) from error
