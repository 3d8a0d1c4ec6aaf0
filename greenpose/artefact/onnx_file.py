"""What an ONNX file says of itself, read without a package: its operators, and whether all weights are inside.

An ONNX file is a protocol buffer: fields, each with a number, a wire type and a value. Only those that lead to
operators and to the place of weights are looked at, the others are stepped over.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

MODEL_GRAPH, MODEL_FUNCTION = 7, 25
GRAPH_NODE, GRAPH_WEIGHTS, GRAPH_SPARSE = 1, 5, 15
FUNCTION_NODE = 7
NODE_KIND, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14
"""Numbers of fields. Source: onnx/onnx.proto, https://github.com/onnx/onnx."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types. Source: https://protobuf.dev/programming-guides/encoding/."""
DEEPEST = 16
"""Graphs inside graphs beyond which a file is refused."""


@dataclass(slots=True)
class OnnxFile:
    """What was found in one file."""

    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each operator stands in it, by domain and name."""
    is_external: bool = False
    """Whether weights lie in other files."""


def read_onnx_file(data: bytes) -> OnnxFile:
    """Return what a file says of itself.

    Raises:
        ValueError: it is no ONNX model.
    """
    found = OnnxFile()
    try:
        for number, value in _fields(memoryview(data)):
            if number == MODEL_GRAPH:
                _graph(_nested(value), found, DEEPEST)
            elif number == MODEL_FUNCTION:
                _nodes(_nested(value), FUNCTION_NODE, found, DEEPEST)
    except (IndexError, UnicodeDecodeError, RecursionError):
        found = OnnxFile()
    if not found.operators:
        raise ValueError("is no ONNX model: no operator can be read in it")
    return found


def _graph(graph: memoryview, found: OnnxFile, depth: int) -> None:
    if not depth:
        raise RecursionError
    _nodes(graph, GRAPH_NODE, found, depth)
    for number, value in _fields(graph):
        if number == GRAPH_WEIGHTS:
            _tensor(_nested(value), found)
        elif number == GRAPH_SPARSE:
            for _, part in _fields(_nested(value)):
                if isinstance(part, memoryview):
                    _tensor(part, found)


def _nodes(holder: memoryview, node_number: int, found: OnnxFile, depth: int) -> None:
    for number, value in _fields(holder):
        if number == node_number:
            _node(_nested(value), found, depth)


def _node(node: memoryview, found: OnnxFile, depth: int) -> None:
    kind = domain = ""
    for number, value in _fields(node):
        if number == NODE_KIND:
            kind = str(_nested(value), "utf-8")
        elif number == NODE_DOMAIN:
            domain = str(_nested(value), "utf-8")
        elif number == NODE_ATTRIBUTE:
            _attribute(_nested(value), found, depth)
    found.operators[domain, kind] += 1


def _attribute(attribute: memoryview, found: OnnxFile, depth: int) -> None:
    for number, value in _fields(attribute):
        if number in {ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS}:
            _tensor(_nested(value), found)
        elif number in {ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS}:
            _graph(_nested(value), found, depth - 1)


def _tensor(tensor: memoryview, found: OnnxFile) -> None:
    for number, value in _fields(tensor):
        if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value):
            found.is_external = True


def _nested(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise IndexError
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield each field's number and its value: a whole number, or bytes that may be a message of their own."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        length, at = (8, at) if wire == FIXED64 else (4, at) if wire == FIXED32 else _varint(data, at)
        if wire not in {FIXED64, BYTES, FIXED32} or at + length > len(data):
            raise IndexError
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a whole number of seven bits a byte, the lowest first, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError
