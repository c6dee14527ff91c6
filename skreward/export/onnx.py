"""Rewards of embeddings as an ONNX graph."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from skreward.export.comparison import check_layers, compare, record, rows_of
from skreward.export.layers import (
    Activation,
    Affine,
    FoldedReward,
    Layer,
    after_encoder,
    fold,
)
from skreward.utils.atomic import replacing
from skreward.utils.optional import wanted_by

OPSET = 17
TOLERANCE = 1e-4
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def to_onnx(model: Any, path: str | PathLike[str], X: Any = None) -> dict[str, Any]:
    r"""Write a fitted reward as an ONNX graph: embeddings in, rewards out.

    .. math:: \text{embeddings } (n, d) \mapsto \text{rewards } (n,)

    in float32, any n. The graph is what `fold` gives; it is run by onnxruntime and
    compared with the model before the file appears.

    Parameters
    ----------
    model : estimator
        As in `fold`. Where it begins with an `LLMEmbeddingTransformer`, the graph
        takes that encoder's embeddings.
    path : str or path-like
        Where to; ends in ``.onnx``.
    X : array-like of shape (n_items, n_features) or EmbeddingPairs, default=None
        Embeddings to compare on. None takes the few that the model has kept.

    Returns
    -------
    about : dict
        What is in the file's metadata under "skreward": the largest difference,
        versions, and the encoder's name, digest and template where there is one.

    Raises
    ------
    ValueError
        If the model cannot be folded.
    ExportError
        If the graph's rewards are not the model's, within 1e-4 of the largest.
    ImportError
        Without onnx and onnxruntime (extra ``integrations``).

    Examples
    --------
    >>> from skreward import BradleyTerryRegressor
    >>> from skreward.datasets import make_preferences
    >>> from skreward.export import to_onnx
    >>> data = make_preferences(n_pairs=500, random_state=0)
    >>> model = BradleyTerryRegressor().fit(data.pairs, data.y)
    >>> about = to_onnx(model, "reward.onnx", data.pairs)  # doctest: +SKIP
    """
    onnx, runtime = _libraries()
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"path must end in .onnx, got {str(path)!r}.")
    folded = fold(model)
    rows = rows_of(model, X).astype(np.float32)
    if rows.shape[1] != folded.n_features:
        raise ValueError(
            f"X has {rows.shape[1]} features, and the model takes {folded.n_features}."
        )
    check_layers(model, folded, rows)
    graph = _graph(onnx, folded)
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (given,) = session.run(None, {"embeddings": rows})
    wanted = after_encoder(model).predict(rows)
    compared = compare(wanted, given, tolerance=TOLERANCE, what="the ONNX graph")
    about = record(folded, compared, ("onnx", "onnxruntime"))
    entry = graph.metadata_props.add()
    entry.key, entry.value = "skreward", json.dumps(about)
    with replacing(path) as draft:
        Path(draft).write_bytes(graph.SerializeToString())
    return about


def _libraries():
    with wanted_by("to_onnx", "onnx"):
        import onnx
    with wanted_by("to_onnx", "onnxruntime"):
        import onnxruntime
    return onnx, onnxruntime


def _graph(onnx, folded: FoldedReward):
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(values) -> str:
        name = f"constant_{len(constants)}"
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        constants.append(numpy_helper.from_array(array, name))
        return name

    def node(operator, *inputs, **attributes) -> str:
        name = f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def add(layer: Layer, here: str) -> str:
        if isinstance(layer, Affine):
            return node("Gemm", here, constant(layer.weight), constant(layer.bias))
        if isinstance(layer, Activation):
            return node(OPERATORS[layer.name], here)
        length = node("ReduceL2", here, axes=[1], keepdims=1)
        is_zero = node("Equal", length, constant(np.zeros(1)))
        return node("Div", here, node("Where", is_zero, constant(np.ones(1)), length))

    here = "embeddings"
    for layer in folded.layers:
        here = add(layer, here)
    here = node("Squeeze", here, constant(np.array([1], dtype=np.int64)))
    nodes.append(helper.make_node("Identity", [here], ["rewards"]))
    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "reward",
        [helper.make_tensor_value_info("embeddings", number, ["n", folded.n_features])],
        [helper.make_tensor_value_info("rewards", number, ["n"])],
        constants,
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="skreward",
        ir_version=9,
    )
    onnx.checker.check_model(made)
    return made
