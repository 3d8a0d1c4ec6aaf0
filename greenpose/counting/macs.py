"""MACs of any network: torch's own rules, rules of ours for operators that it lets pass, and no operator for nothing.

Convolutions, matrix products, attention, recurrent layers and distances are counted. Pointwise operators, reductions,
norms, pooling, resampling, and whatever moves or makes values, are free: that is the convention of torch's counter, and
of the exits' MACs. An operator that is neither is refused, since its arithmetic would look as if it cost nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode, flop_registry

from greenpose.counting.counters import CountingError, eager
from greenpose.formatting import FLOPS_PER_MAC

Shape = Sequence[int]
Args = Sequence[Any]
"""An operator's arguments, tensors by their shapes."""
Rule = Callable[[Args, Any], int]
"""From an operator's arguments, and the shape of its result, to its MACs."""

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


def _attention(query: Shape, key: Shape, value: Shape) -> int:
    """Return the products of queries with keys, and of weights with values; a causal mask saves nothing."""
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _multi_head(query: Shape, key: Shape, value: Shape, width: int) -> int:
    """Return the projections to queries, keys, values and back, and the attention between."""
    tokens, others = prod(query[:-1]), prod(key[:-1])
    projections = (2 * tokens + others + prod(value[:-1])) * width**2
    return projections + tokens * key[-2] * 2 * width


def _encoder_layer(args: Args, _: object) -> int:
    """Return attention of a sequence to itself, and the two layers behind it."""
    source: Shape = args[0]
    width, narrow, wide = args[1], args[14], args[16]
    return _multi_head(source, source, source, width) + prod(source[:-1]) * (prod(narrow) + prod(wide))


def _recurrent(steps: Shape, weights: Sequence[Shape]) -> int:
    """Return each weight matrix once for every step of every sequence; biases are free."""
    return prod(steps[:-1]) * sum(prod(shape) for shape in weights if len(shape) > 1)


def _trilinear(args: Args, _: object) -> int:
    """Return the products of every output with every pair of inputs."""
    shapes = [list(shape) for shape in args[:3]]
    for shape, dimensions in zip(shapes, args[3:], strict=False):
        for dimension in dimensions:
            shape.insert(dimension, 1)
    return prod(map(max, zip(*shapes, strict=True)))


def _quantized_convolution(args: Args, out: Shape) -> int:
    images, packed, *_ = args
    weight: Tensor = packed.unpack()[0]
    return prod(images if packed.transpose() else out) * prod(weight.shape[1:])


_KINDS_OF_LINEAR = ("", "_relu", "_leaky_relu", "_tanh", "_dynamic", "_relu_dynamic")
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("aten._scaled_dot_product_flash_attention_for_cpu", "aten._scaled_dot_product_fused_attention_overrideable"),
        lambda args, _: _attention(*args[:3]),
    ),
    "aten._native_multi_head_attention": lambda args, _: _multi_head(*args[:4]),
    "aten._transformer_encoder_layer_fwd": _encoder_layer,
    "aten.mkldnn_rnn_layer": lambda args, _: _recurrent(args[0], args[1:3]),
    **dict.fromkeys(("aten._cudnn_rnn", "aten.miopen_rnn"), lambda args, _: _recurrent(args[0], args[1])),
    **dict.fromkeys(("aten.dot", "aten.vdot", "aten.mv"), lambda args, _: prod(args[0])),
    **dict.fromkeys(("aten.addmv", "aten.addmv_"), lambda args, _: prod(args[1])),
    **dict.fromkeys(("aten.addr", "aten.addr_"), lambda _, out: prod(out)),
    **dict.fromkeys(
        ("aten.addmm_", "aten.baddbmm_", "aten.addbmm", "aten.addbmm_", "aten._addmm_activation"),
        lambda args, _: prod(args[1]) * args[2][-1],
    ),
    "aten._int_mm": lambda args, _: prod(args[0]) * args[1][-1],
    **dict.fromkeys(("aten.mkldnn_linear", "aten._weight_int8pack_mm"), lambda args, _: prod(args[0]) * args[1][0]),
    "aten._trilinear": _trilinear,
    **dict.fromkeys(
        ("aten._cdist_forward", "aten._euclidean_dist", "aten._pdist_forward", "aten.affine_grid_generator"),
        lambda args, out: prod(out) * args[0][-1],
    ),
    **dict.fromkeys(
        [*(f"quantized.linear{kind}" for kind in (*_KINDS_OF_LINEAR, "_dynamic_fp16", "_relu_dynamic_fp16"))],
        lambda args, out: prod(out) * args[0][-1],
    ),
    **{
        f"quantized.conv{transposed}{n}d{kind}": _quantized_convolution
        for transposed in ("", "_transpose")
        for n in (1, 2, 3)
        for kind in ("", "_relu", "_add", "_add_relu", "_dynamic")
    },
}
"""MACs of operators that torch's counter has no rule for."""


@cache
def _mapping() -> dict[Any, Callable[..., int]]:
    """Return the rules by operator, in FLOPs, for those operators that this torch has."""
    found = {}
    for name, rule in _RULES.items():
        space, _, operator = name.partition(".")
        with suppress(AttributeError):
            found[getattr(getattr(torch.ops, space), operator)] = _in_flops(rule)
    return found


def _in_flops(rule: Rule) -> Callable[..., int]:
    def flops(*args: Any, out_shape: Any = (), **_: Any) -> int:  # of several results, their shapes
        return FLOPS_PER_MAC * rule(args, out_shape)

    return flops
