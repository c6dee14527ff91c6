"""The checks of a model file: everything in it is looked at, nothing is imported.

A file is a zip of arrays and of ``schema.json``, a tree of nodes that skops builds
objects from. Every rule here is about that text. One of them makes the others hold:
skops builds a node once for every ``__id__``, so all nodes of one id must be written
alike; then what is read here is what is built.
"""

import json
import zipfile
from collections.abc import Collection, Iterator
from hashlib import blake2b
from typing import IO, Any

from skreward.persistence.refusal import NotAModel, Refused
from skreward.persistence.sizes import (
    BYTEARRAY_FACTOR,
    SCHEMA_FACTOR,
    Budget,
    Members,
)
from skreward.persistence.trees import check_neighbours, check_predictor, check_tree
from skreward.persistence.types import (
    BIT_GENERATORS,
    NEIGHBOURS,
    NODES,
    TREE,
    TREE_PREDICTOR,
    is_known,
)

SCHEMA = "schema.json"
# Nodes within nodes, a few for every object within an object.
MAX_DEPTH = 250
# Before this one, skops audited less.
FIRST_PROTOCOL = 2
MARKS = ("__class__", "__module__", "__loader__")
MAX_POOL = 64
ENDPOINT = "skreward.text.endpoint.EndpointEmbeddingTransformer"

Node = dict[str, Any]


def check_file(
    file: IO[bytes], trusted: Collection[str], trust_remote_code: bool, max_bytes: int
) -> list[str]:
    """Check a whole file, and give the names that skops may build.

    Raises
    ------
    Refused
        For types that are not trusted, code from elsewhere, or too many bytes.
    Exception
        Of any kind where the file is no model.
    """
    with zipfile.ZipFile(file) as archive:
        members = Members(archive, Budget(max_bytes))
        schema = json.loads(members.read(SCHEMA, SCHEMA_FACTOR))
        protocol = schema["protocol"]
        if type(protocol) is not int or protocol < FIRST_PROTOCOL:
            raise NotAModel(f"protocol {protocol!r}")
        nodes = [node for node, _ in walk(schema)]
        names = {name for node in nodes for name in names_of(node)}
        foreign = sorted(
            {
                name
                for node in nodes
                for name in names_of(node)
                if name not in trusted and not is_known(node["__loader__"], name)
            }
        )
        if foreign:
            raise Refused(
                f"holds types that are not trusted: {', '.join(foreign)}. Nothing "
                "in it was executed. If you know where the file comes from, name them "
                "in trusted."
            )
        if not trust_remote_code:
            refuse_remote_code(nodes)
        refuse_addresses(nodes, trusted)
        for node, above in walk(schema):
            check_content(node, above, members)
        check_ids(schema, members)
    return sorted(names)


def walk(schema: Any) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Give every node, and the nodes it is within, outermost first."""
    pending: list[tuple[Any, tuple[Node, ...], int]] = [(schema, (), 0)]
    while pending:
        value, above, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise NotAModel(f"more than {MAX_DEPTH} levels")
        parts = list(value.values()) if isinstance(value, dict) else value
        if isinstance(value, dict) and any(mark in value for mark in MARKS):
            check_node(value)
            yield value, above
            above = (*above, value) if is_object(value) else above
            if value["__loader__"] == "DictNode":
                # Its keys are the model's, and may be spelt as ours.
                parts = [value["key_types"], *value["content"].values()]
        pending.extend(
            (part, above, depth + 1) for part in parts if isinstance(part, dict | list)
        )


def check_node(node: Node) -> None:
    """Raise where a node does not say what it is."""
    if not all(type(node.get(mark)) is str for mark in MARKS):
        raise NotAModel("a node without a class, a module and a loader")
    if node["__loader__"] not in NODES:
        raise NotAModel(f"a node read by {node['__loader__']!r}")


def is_object(node: Node) -> bool:
    """Whether a node is an estimator or a part of one."""
    return node["__loader__"] == "ObjectNode"


def full_name(node: Node) -> str:
    """Module and class of a node."""
    return f"{node['__module__']}.{node['__class__']}"


def names_of(node: Node) -> list[str]:
    """Give the names of everything that a node finds."""
    names = [full_name(node)]
    if node["__loader__"] == "MethodNode":
        names.append(f"{names[0]}.{node['content']['func']}")
    return names


def check_ids(schema: Node, members: Members) -> None:
    """Raise where one id names two things: the second would be built as the first."""
    seen: dict[Any, bytes] = {}

    def digest(value: Any) -> bytes:
        found = blake2b(digest_size=16)
        if isinstance(value, dict):
            found.update(b"{")
            for key, part in value.items():
                # The same array may lie in two members.
                if key == "file" and isinstance(part, str):
                    found.update(members.digest(part))
                elif key != "__id__" or isinstance(part, dict):
                    found.update(digest(key) + digest(part))
        elif isinstance(value, list):
            found.update(b"[")
            for part in value:
                found.update(digest(part))
        else:
            found.update(repr(value).encode("utf-8", "surrogatepass"))
        given = found.digest()
        if isinstance(value, dict):
            name = value.get("__id__")
            # Within a dict of the model it is a key like any other.
            if name is not None and not isinstance(name, dict):
                if seen.setdefault(name, given) != given:
                    raise NotAModel("one id names two things")
        return given

    digest(schema)


def refuse_remote_code(nodes: list[Node]) -> None:
    """Raise where the file asks for code that lies beside a language model."""
    for node in nodes:
        if not is_object(node) or not node["__module__"].startswith("skreward."):
            continue
        flag = attributes(node).get("trust_remote_code")
        if flag is not None and flag.get("content") != "false":
            raise Refused(
                f"holds a {node['__class__']} with trust_remote_code=True: it would "
                "run Python code that lies with its language model. If you have read "
                "that code, load with trust_remote_code=True (on the command line, "
                "--trust-remote-code)."
            )


def refuse_addresses(nodes: list[Node], trusted: Collection[str]) -> None:
    """Raise where texts and a key would be sent to an address that nobody named."""
    for node in nodes:
        if not is_object(node) or full_name(node) != ENDPOINT:
            continue
        content = attributes(node)["url"]["content"]
        url = json.loads(content) if type(content) is str else None
        if url not in trusted:
            raise Refused(
                f"holds an {node['__class__']} of {url!r}: it would send texts there, "
                "and a key that it reads from the environment. If you know that "
                "address, name it in trusted (on the command line, --trust)."
            )


def attributes(node: Node) -> dict[str, Node]:
    """Give the attributes of an object, or {} where it has none."""
    content = node.get("content")
    if content is None:
        return {}
    if content["__loader__"] != "DictNode":
        # Compiled types hold a tuple.
        return {}
    return content["content"]


def check_content(node: Node, above: tuple[Node, ...], members: Members) -> None:
    """Count what a node reads, and check what no name tells."""
    loader = node["__loader__"]
    if loader == "NdArrayNode":
        check_array(node, members)
    elif loader == "SparseMatrixNode":
        members.check_sparse(node["file"])
    elif loader == "BytesNode":
        members.count(node["file"])
    elif loader == "BytearrayNode":
        members.count(node["file"], BYTEARRAY_FACTOR)
    elif loader == "DictNode":
        check_keys(node)
    elif loader == "RandomGeneratorNode":
        check_generator(node)
    elif loader == "TreeNode" and full_name(node) == TREE:
        check_tree(node, above, members)
    elif full_name(node) == TREE_PREDICTOR:
        check_predictor(attributes(node), above, members)
    elif full_name(node) in NEIGHBOURS:
        check_neighbours(node, members)


def check_array(node: Node, members: Members) -> None:
    """Check an array of numbers by its header, and one of objects by its shape."""
    if node["type"] == "numpy":
        members.count_array(node["file"])
        return
    shape = node["shape"]
    if shape["__loader__"] != "TupleNode" or not shape["content"]:
        raise NotAModel("an array of objects without a shape")
    if len(shape["content"]) > 1:
        # NumPy looks into whatever is a sequence to find the shape again.
        check_leaves(node["content"], len(shape["content"]))


def check_leaves(content: list[Node], n_dimensions: int) -> None:
    """Raise where an array of objects holds what NumPy would take apart."""
    for part in content:
        loader = part["__loader__"]
        if n_dimensions > 1:
            if loader != "ListNode":
                raise NotAModel("an array of objects that has not its shape")
            check_leaves(part["content"], n_dimensions - 1)
        elif loader != "JsonNode" and not full_name(part).startswith("sklearn.tree."):
            raise NotAModel("an array of objects that holds sequences")


def check_keys(node: Node) -> None:
    """Raise where what makes the keys of a dict is more than a type."""
    kinds = node["key_types"]
    if kinds["__loader__"] != "ListNode" or any(
        kind["__loader__"] != "TypeNode" for kind in kinds["content"]
    ):
        raise NotAModel("the keys of a dict have no types")


def check_generator(node: Node) -> None:
    """Check which generator is made, and that its pool is of the usual size."""
    state = node["content"]["bit_generator"]["content"]
    if json.loads(state["bit_generator"]["content"]) not in BIT_GENERATORS:
        raise NotAModel("a generator of random numbers that NumPy has not")
    pool = json.loads(node["content"]["seed_seq"]["content"]["pool_size"]["content"])
    if type(pool) is not int or not 0 < pool <= MAX_POOL:
        raise NotAModel(f"a pool of {pool!r} random numbers")
