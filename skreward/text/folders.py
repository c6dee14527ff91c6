"""The files of a model: which are refused, and how it is loaded from them."""

import json
import os
import shutil
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from skreward.text.source import ModelSource
from skreward.text.trust import refuse_code
from skreward.utils.optional import wanted_by


@contextmanager
def alone(source):
    """Give the arguments that load a model; a GGUF file without its neighbours.

    A file that lies beside it would else be read with it, unseen by the digest.
    """
    name = "pretrained_model_name_or_path"
    if source.gguf is None:
        yield {name: source.folder, "local_files_only": True}
        return
    for package in ("gguf", "accelerate"):
        with wanted_by("A .gguf file", package):
            import_module(package)
    with TemporaryDirectory(prefix="skreward-") as folder:
        file = Path(source.folder).resolve() / source.gguf
        try:
            os.symlink(file, f"{folder}/model.gguf")
        except OSError:  # Windows gives links to administrators alone
            shutil.copyfile(file, f"{folder}/model.gguf")
        yield {name: folder, "local_files_only": True, "gguf_file": "model.gguf"}


def modules_of(source) -> list[str] | None:
    """Name the modules of a sentence encoder; None where it is another model."""
    path = Path(source.folder) / "modules.json"
    if source.gguf is not None or not path.exists():
        return None
    return [str(module.get("type")) for module in json.loads(path.read_text("utf-8"))]


def check_folder(source: ModelSource, trust_remote_code: bool):
    """Refuse a model that would run code, read a pickle, or that is incomplete."""
    if source.folder is None or source.gguf is not None:
        return
    folder = Path(source.folder)
    if not any((folder / name).exists() for name in ("modules.json", "config.json")):
        files = sorted(path.name for path in folder.glob("*.gguf"))
        instead = f" Give the file itself: {folder / files[0]}." if files else ""
        raise OSError(
            f"model: {source.name!r} holds neither modules.json nor config.json, and "
            f"is no model.{instead}"
        )
    if (folder / "adapter_config.json").exists():
        raise OSError(
            f"model: {source.name!r} is an adapter of another model, which lies "
            "elsewhere and may change. Merge the two and save the result."
        )
    _refuse_pickles(folder)
    _refuse_onnx_alone(folder)
    if not trust_remote_code:
        refuse_code(folder)


def _refuse_pickles(folder: Path):
    for path in folder.rglob("*_model*.bin"):
        if not any(path.parent.glob("*.safetensors")):
            raise OSError(
                f"{path} is a pickle, which may run code when it is read; weights are "
                "loaded from safetensors alone. Save the model again with "
                "safe_serialization=True."
            )


def _refuse_onnx_alone(folder: Path):
    files = sorted(folder.rglob("*.onnx"))
    if files and not any(folder.rglob("*.safetensors")):
        raise OSError(
            f"model: {str(folder)!r} holds its weights as {files[0].name} alone, and "
            "they are loaded from safetensors or GGUF. Give the folder or the hub id "
            "of the model that was exported."
        )
