"""MACs of any network: torch's own rules, rules of ours for operators that it lets pass, and no operator for nothing.

Convolutions, matrix products, attention, recurrent layers and distances are counted. Pointwise operators, reductions,
norms, pooling, resampling, and whatever moves or makes values, are free: that is the convention of torch's counter, and
of the exits' MACs. An operator that is neither is refused, since its arithmetic would look as if it cost nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode, flop_registry

from greenpose.counting.counters import CountingError, eager
from greenpose.formatting import FLOPS_PER_MAC

Shape = Sequence[int]
Rule = Callable[..., int]
"""From the shapes of an operator's tensors, and its other arguments, to its MACs; `out_shape` is that of its result."""

_FREE = re.compile(
    r"(\w+_)?norm|weight_norm\w*|\w*(batch|layer|group|rms)_norm\w*|(log_|masked_|safe_)?softmax|\w*pool[123]d(_\w+)?|"
    r"(constant|reflection|replication)_pad\w*|upsample_\w+|\w*grid_sampler\w*|pixel_(un)?shuffle|channel_shuffle|"
    r"im2col|col2im|max_unpool[23]d|glu|thnn_fused_(lstm|gru)_cell|prelu_kernel|hardswish|linalg_cross|rrelu\w*|add_relu|logcumsumexp|"
    r"logsumexp|\w+_loss([12]?d?_forward)?|\w+_margin_loss_forward|binary_cross_entropy\w*|log_sigmoid_forward|"
    r"sum|mean|prod|a?max|a?min|aminmax|arg(max|min)|all|any|is_a(ll|ny)_true|var(_mean)?|std(_mean)?|nansum|trace|"
    r"cum(sum|prod|max|min)(_helper)?|(nan)?median|mode|kthvalue|topk|(arg)?sort|histc|bincount|count_nonzero|dist|"
    r"embedding\w*|unsafe_index\w*|unsafe_masked_index\w*|index\w*|gather|scatter\w*|\w+_scatter|masked_\w+|take|put|"
    r"nonzero\w*|unique\w*|isin|searchsorted|bucketize|flip|roll|rot90|repeat\w*|tri[lu](_indices)?|diag_embed|"
    r"block_diag|chunk_cat|cat|stack|unsafe_split\w*|clone|copy|to_copy|lift\w*|contiguous|unsafe_view|reshape_copy|"
    r"resize(_as|_output)?|set|local_scalar_dense|pin_memory|to_mkldnn|to_dense|mkldnn_(reshape|transpose)|"
    r"mkldnn_reorder\w+|(new_)?(empty|zeros|ones|full)\w*|efficientzerotensor|zero|fill|arange|range|linspace|logspace|"
    r"eye|scalar_tensor|rand\w*|(log_)?normal\w*|bernoulli|uniform|multinomial|exponential|poisson|random|\w+_window|complex|"
    r"polar|(native|fused)_dropout|pack_padded_sequence|device|\w*assert\w*|sym_\w+|floor_divide|"
    r"(fake_)?quantize_\w+|dequantize|int_repr|q_\w+|qscheme|choose_qparams\w*|make_per_\w+"
)
"""Names of free operators, less the underscores at both ends; what torch itself marks as free (below) needs no name."""
_FREE_QUANTIZED = re.compile(
    r"(add|mul)(_scalar)?(_relu)?(_out)?|cat(_relu)?|sigmoid|tanh|c?elu|leaky_relu|clamp|\w*prepack"
)
_FREE_MARKS = frozenset({"pointwise", "reduction", "view_copy", "inplace_view"})


def count_macs(net: nn.Module, *inputs: Any, **named: Any) -> int:
    """Return the multiply-accumulates of one call of a network, in its own mode.

    What torch's counter has no rule for can be given one with `torch.utils.flop_counter.register_flop_formula`.

    Raises:
        CountingError: with every operator that computes and has no rule.
    """
    watch, counter = _Watch(), FlopCounterMode(display=False, custom_mapping=_mapping())
    try:
        with torch.no_grad(), eager(_Watch, _FlopCounterMode), watch, counter:
            net(*inputs, **named)
    except Exception:
        _refuse(watch.unknown)  # an operator without a rule explains more than what comes of it
        raise
    _refuse(watch.unknown)
    return int(counter.get_total_flops()) // FLOPS_PER_MAC


def _refuse(unknown: Sequence[str]) -> None:
    if unknown:
        raise CountingError(
            f"there is no rule for what {', '.join(sorted(set(unknown)))} computes, and it is not free; give one with"
            " torch.utils.flop_counter.register_flop_formula, or run the network without fused operators"
        )


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Notes operators that are neither counted nor free."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.unknown: list[str] = []
        self._counted = {*flop_registry, *_mapping()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        packet = getattr(func, "overloadpacket", func)
        if packet not in self._counted and not is_free(packet):
            self.unknown.append(str(packet))
        return func(*args, **(kwargs or {}))


def is_free(operator: Any) -> bool:
    """Return whether an operator's work is free by convention; `operator` is a name of torch's, such as aten.relu."""
    space, _, name = str(operator).partition(".")
    bare = name.strip("_")
    if space == "quantized" and _FREE_QUANTIZED.fullmatch(bare):
        return True
    if space not in {"aten", "prim", "prims", "quantized"}:
        return False
    if _FREE.fullmatch(bare):
        return True
    twins = (getattr(getattr(torch.ops, space), twin, None) for twin in (name, name.removesuffix("_")))
    return any(_is_marked(twin) for twin in twins if twin is not None)


def _is_marked(packet: Any) -> bool:
    """Return whether torch calls an operator pointwise, a reduction or a view; of one in place, its twin says it."""
    overloads = [getattr(packet, name) for name in packet.overloads()]
    return any(each.is_view or _FREE_MARKS & {mark.name for mark in each.tags} for each in overloads)


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Return the products of queries with keys, and of weights with values; a causal mask saves nothing."""
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _multi_head(query: Shape, key: Shape, value: Shape, width: int, *_: Any, **__: Any) -> int:
    """Return the projections to queries, keys, values and back, and the attention between."""
    tokens, others = prod(query[:-1]), prod(key[:-1])
    projections = (2 * tokens + others + prod(value[:-1])) * width**2
    return projections + tokens * key[-2] * 2 * width


def _encoder_layer(source: Shape, width: int, *rest: Any, **__: Any) -> int:
    """Return attention of a sequence to itself, and the two layers behind it."""
    narrow: Shape = rest[12]
    wide: Shape = rest[14]
    return _multi_head(source, source, source, width) + prod(source[:-1]) * (prod(narrow) + prod(wide))


def _recurrent(steps: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    """Return each weight matrix once for every step of every sequence; biases are free."""
    return prod(steps[:-1]) * sum(prod(shape) for shape in weights if len(shape) > 1)


def _recurrent_layer(steps: Shape, inputs: Shape, states: Shape, *_: Any, **__: Any) -> int:
    return _recurrent(steps, [inputs, states])


def _inner(first: Shape, *_: Any, **__: Any) -> int:
    return prod(first)


def _inner_of_second(_: Any, matrix: Shape, *__: Any, **___: Any) -> int:
    return prod(matrix)


def _outer(*_: Any, out_shape: Shape, **__: Any) -> int:
    return prod(out_shape)


def _product(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    return prod(first) * second[-1]


def _added_product(_: Any, first: Shape, second: Shape, *__: Any, **___: Any) -> int:
    return prod(first) * second[-1]


def _linear(images: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    return prod(images) * weight[0]


def _packed_linear(images: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return prod(out_shape) * images[-1]


def _each_of_first(first: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return prod(out_shape) * first[-1]


def _trilinear(first: Shape, weight: Shape, last: Shape, *expanded: Any, **__: Any) -> int:
    """Return the products of every output with every pair of inputs."""
    shapes = [list(shape) for shape in (first, weight, last)]
    for shape, dimensions in zip(shapes, expanded, strict=False):
        for dimension in dimensions:
            shape.insert(dimension, 1)
    return prod(map(max, zip(*shapes, strict=True)))


def _affine(theta: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return prod(out_shape) * theta[-1]


def _quantized_convolution(images: Shape, packed: Any, *_: Any, out_shape: Shape, **__: Any) -> int:
    weight: Tensor = packed.unpack()[0]
    return prod(images if packed.transpose() else out_shape) * prod(weight.shape[1:])


_RULES: Mapping[str, Rule] = {
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable": _attention,
    "aten._native_multi_head_attention": _multi_head,
    "aten._transformer_encoder_layer_fwd": _encoder_layer,
    "aten.mkldnn_rnn_layer": _recurrent_layer,
    "aten._cudnn_rnn": _recurrent,
    "aten.miopen_rnn": _recurrent,
    "aten.dot": _inner,
    "aten.vdot": _inner,
    "aten.mv": _inner,
    **{f"aten.{name}": _inner_of_second for name in ("addmv", "addmv_")},
    **{f"aten.{name}": _outer for name in ("addr", "addr_")},
    **{f"aten.{name}": _added_product for name in ("addmm_", "baddbmm_", "addbmm", "addbmm_", "_addmm_activation")},
    "aten._int_mm": _product,
    "aten.mkldnn_linear": _linear,
    "aten._weight_int8pack_mm": _linear,
    "aten._trilinear": _trilinear,
    "aten._cdist_forward": _each_of_first,
    "aten._euclidean_dist": _each_of_first,
    "aten._pdist_forward": _each_of_first,
    "aten.affine_grid_generator": _affine,
    **{
        f"quantized.linear{kind}": _packed_linear
        for kind in (
            "",
            "_relu",
            "_leaky_relu",
            "_tanh",
            "_dynamic",
            "_relu_dynamic",
            "_dynamic_fp16",
            "_relu_dynamic_fp16",
        )
    },
    **{
        f"quantized.conv{transposed}{n}d{kind}": _quantized_convolution
        for transposed in ("", "_transpose")
        for n in (1, 2, 3)
        for kind in ("", "_relu", "_add", "_add_relu", "_dynamic")
    },
}
"""MACs of operators that torch's counter has no rule for."""


def _mapping() -> dict[Any, Rule]:
    """Return the rules by operator, in FLOPs, for those operators that this torch has."""
    found = {}
    for name, rule in _RULES.items():
        space, _, operator = name.partition(".")
        with suppress(AttributeError):
            found[getattr(getattr(torch.ops, space), operator)] = _in_flops(rule)
    return found


def _in_flops(rule: Rule) -> Rule:
    def flops(*args: Any, **kwargs: Any) -> int:
        return FLOPS_PER_MAC * rule(*args, **kwargs)

    return flops
