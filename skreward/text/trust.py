"""What a model's folder asks to run: nothing, unless the caller trusts it.

The libraries that load models differ by version in what they run for a folder, so
everything in it that names code is read here, before they see it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

MODULES = (
    "Asym BoW CLIPModel CNN Dense Dropout LSTM LayerNorm Normalize Pooling Router "
    "StaticEmbedding Transformer WeightedLayerPooling WhitespaceTokenizer "
    "WordEmbeddings WordWeights"
).split()
OWN_MODULE = re.compile(
    r"sentence_transformers\.(models|base\.modules|sentence_transformer\.modules)"
    rf"(\.\w+)*\.({'|'.join(MODULES)})"
)
OWN_ACTIVATION = re.compile(r"torch\.nn(\.modules)?(\.[a-z]\w*)*\.[A-Z]\w*")
# Large, and lists of tokens and tensors alone.
UNREAD = re.compile(r"tokenizer\.json|vocab\.json|.*\.index\.json")


def refuse_code(folder: Path):
    """Refuse a model that names code, other than that of the libraries themselves.

    Parameters
    ----------
    folder : Path
        Everything that is not a list of tokens is read: ``modules.json``, the
        configuration of each module, and what either points to.

    Raises
    ------
    ValueError
        Where the folder names a class, a kernel or a place outside itself, which
        loading would run or read, or links to another folder. The message names it.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() and path.is_dir():
            raise ValueError(f"{path}: a link to a folder, whose files go unread here.")
    for path in sorted(folder.rglob("*.json")):
        if UNREAD.fullmatch(path.name):
            continue
        for key, value in _entries(_read(path), path.name == "modules.json"):
            problem = _problem(key, value)
            if problem:
                raise ValueError(
                    f"{path}: {key} is {value!r}, which {problem}. With "
                    "trust_remote_code=True it would be taken; only for models whose "
                    "code you have read."
                )


def _problem(key: str, value: Any) -> str | None:
    """Say what is wrong with one entry, or None."""
    if key == "trust_remote_code" and value:
        return "asks for trust that only the caller can give"
    if not isinstance(value, str):
        return None
    if key in ("type", "types", "tokenizer_class"):
        is_dotted = "." in value or key != "tokenizer_class"
        if is_dotted and not OWN_MODULE.fullmatch(value):
            return "is code from outside sentence-transformers"
    elif key == "activation_function":
        if "." in value and not OWN_ACTIVATION.fullmatch(value):
            return "is code from outside torch.nn"
    elif key.endswith("_implementation") and "/" in value:
        return "is a kernel that would be fetched and run"
    elif key == "path":
        way = PurePosixPath(value.replace("\\", "/"))
        if way.is_absolute() or ".." in way.parts or ":" in value:
            return "lies outside the model's folder"
    return None


def _entries(value: Any, is_modules: bool) -> Iterator[tuple[str, Any]]:
    """Give every key of a configuration, at any depth, with its value."""
    if isinstance(value, list):
        for part in value:
            yield from _entries(part, is_modules)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key == "types" and isinstance(part, dict):
                # A router: its routes are folders, each of one class.
                for route, kind in part.items():
                    yield "path", route
                    yield "types", kind
            elif is_modules or key not in ("type", "path"):
                # A "type" elsewhere is a word of a tokenizer or of a rope.
                yield key, part
            yield from _entries(part, is_modules)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
