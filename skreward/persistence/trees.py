"""Decision trees in a file: compiled code follows their numbers unchecked."""

import json
from typing import Any

import numpy as np

from skreward.persistence.refusal import NotAModel
from skreward.persistence.sizes import Members

# Estimators that hand rows to trees as they got them, by module.
OWNERS = (
    "sklearn.tree._classes",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._gb",
    "sklearn.ensemble._iforest",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting",
)

Node = dict[str, Any]


def check_tree(node: Node, above: tuple[Node, ...], members: Members) -> None:
    """Raise where a tree of scikit-learn leaves its arrays, or its rows."""
    n_features, classes, n_outputs = node["__reduce__"]["args"]["content"]
    n_classes = members.array(classes["file"])
    outputs = number(n_outputs)
    if n_classes.shape != (outputs,) or n_classes.dtype.kind != "i" or outputs < 1:
        raise NotAModel("a tree with classes for other outputs")
    if (n_classes < 1).any():
        raise NotAModel("a tree without classes")
    attributes = node["content"]["content"]
    nodes = members.array(attributes["nodes"]["file"])
    values = members.array(attributes["values"]["file"])
    if number(attributes["node_count"]) != len(nodes):
        raise NotAModel("a tree with another number of nodes")
    if values.shape != (len(nodes), outputs, n_classes.max()):
        raise NotAModel("a tree with another number of values")
    width = min(number(n_features), width_above(above))
    is_leaf = nodes["left_child"] == -1
    check_nodes(
        nodes["left_child"], nodes["right_child"], nodes["feature"], is_leaf, width
    )


def check_predictor(
    attributes: dict[str, Node], above: tuple[Node, ...], members: Members
) -> None:
    """Raise where a tree of histogram boosting leaves its arrays, or its rows."""
    nodes = members.array(attributes["nodes"]["file"])
    is_leaf = nodes["is_leaf"] != 0
    check_nodes(
        nodes["left"], nodes["right"], nodes["feature_idx"], is_leaf, width_above(above)
    )
    sets = nodes["bitset_idx"][~is_leaf & (nodes["is_categorical"] != 0)]
    for name in ("binned_left_cat_bitsets", "raw_left_cat_bitsets"):
        bitsets = members.array(attributes[name]["file"])
        if bitsets.ndim != 2 or bitsets.shape[1] != 8:
            raise NotAModel("a tree with other sets of categories")
        if len(sets) and sets.max() >= len(bitsets):
            raise NotAModel("a tree whose categories lead nowhere")


def check_nodes(left, right, feature, is_leaf, width) -> None:
    """Raise where a step leads to no later node, or looks at no feature."""
    if left.ndim != 1 or len(left) == 0:
        raise NotAModel("a tree without nodes")
    inner = np.flatnonzero(~is_leaf)
    for child in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        if ((child <= inner) | (child >= len(left))).any():
            raise NotAModel("a tree that leads nowhere")
    seen = feature[inner].astype(np.int64)
    if ((seen < 0) | (seen >= width)).any():
        raise NotAModel("a tree that looks at features that are not there")


def width_above(above: tuple[Node, ...]) -> int:
    """Give the least number of features that an owner of a tree lets through."""
    widths = [
        number(node["content"]["content"]["n_features_in_"])
        for node in above
        if node["__module__"] in OWNERS
    ]
    if not widths:
        raise NotAModel("a tree outside an estimator")
    return min(widths)


def number(node: Node) -> int:
    """Give the integer that a node holds."""
    found = json.loads(node["content"])
    if type(found) is not int:
        raise NotAModel("a number that is none")
    return found


def check_neighbours(node: Node, members: Members) -> None:
    """Raise where a k-d tree or a ball tree leaves its arrays."""
    state = node["content"]["content"]
    points, order, nodes, bounds = (members.array(part["file"]) for part in state[:4])
    n_nodes = number(state[6])
    if points.ndim != 2 or order.shape != points.shape[:1] or not len(points):
        raise NotAModel("a tree of neighbours without its points")
    if nodes.shape != (n_nodes,) or n_nodes < 1 or state[12]["content"] != "null":
        raise NotAModel("a tree of neighbours with another number of nodes")
    if bounds.ndim != 3 or bounds.shape[1:] != (n_nodes, points.shape[1]):
        raise NotAModel("a tree of neighbours with other bounds")
    if len(bounds) != (2 if node["__class__"] == "KDTree" else 1):
        raise NotAModel("a tree of neighbours with other bounds")
    first, last = nodes["idx_start"], nodes["idx_end"]
    if ((first < 0) | (last < first) | (last > len(points))).any():
        raise NotAModel("a tree of neighbours that leads nowhere")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    if ((order < 0) | (order >= len(points))).any() or (2 * inner + 2 >= n_nodes).any():
        raise NotAModel("a tree of neighbours that leads nowhere")
