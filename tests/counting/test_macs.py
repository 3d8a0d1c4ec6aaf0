"""MACs of any network, held against the same network made of plain products, and against closed formulas."""

import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from greenpose.counting import CountingError
from greenpose.counting.counters import operations
from greenpose.counting.counts import num_params
from greenpose.counting.macs import count_macs, is_free

SEQUENCE = torch.zeros(1, 32, 64)


class Attention(nn.Module):
    """Self-attention with its four projections, by torch's fused operator."""

    def __init__(self):
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))

    def forward(self, x):
        query, key, value = (layer(x).unflatten(-1, (4, 16)).transpose(1, 2) for layer in self.project[:3])
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.project[3](mixed.transpose(1, 2).flatten(2))


def plain(net, *inputs):
    """The MACs by torch's counter where nothing is fused."""
    fast, onednn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.is_available()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._set_mkldnn_enabled(onednn)
    return counter.get_total_flops() // 2


def test_attention_costs_its_projections_and_its_products():
    assert count_macs(Attention(), SEQUENCE) == 4 * 32 * 64 * 64 + 2 * 32 * 32 * 64 == 655_360


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (nn.MultiheadAttention(64, 4, batch_first=True), (SEQUENCE,) * 3),
        (nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), (SEQUENCE,)),
        (nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2), (SEQUENCE,)),
        (nn.TransformerDecoderLayer(64, 4, 128, batch_first=True), (SEQUENCE, torch.zeros(1, 7, 64))),
        (nn.LSTM(64, 24, num_layers=2, bidirectional=True, batch_first=True), (SEQUENCE,)),
        (nn.LSTM(64, 24, bias=False), (SEQUENCE,)),
        (nn.GRU(64, 24, batch_first=True), (SEQUENCE,)),
        (nn.RNN(64, 24), (SEQUENCE,)),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_fused_costs_what_its_plain_parts_cost(net, inputs, batch):
    batched = [each.expand(batch, -1, -1).contiguous() for each in inputs]
    assert count_macs(net.eval(), *batched) == plain(net, *batched) > 0


def quantised(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces another package for this
        return make()


def test_a_quantised_layer_costs_what_it_cost_before():
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 5)).eval()
    small = quantised(lambda: torch.ao.quantization.quantize_dynamic(net, {nn.Linear}))
    assert count_macs(small, SEQUENCE) == count_macs(net, SEQUENCE) == 32 * (64 * 48 + 48 * 5)
    assert num_params(small) == num_params(net) == 64 * 48 + 48 + 48 * 5 + 5


@pytest.mark.parametrize(("transposed", "macs"), [(False, 8 * 6 * 6 * (3 * 3 * 3)), (True, 3 * 8 * 8 * (8 * 3 * 3))])
def test_a_quantised_convolution_costs_what_it_cost_before(transposed, macs):
    def make():
        kind = torch.ao.nn.quantized.ConvTranspose2d if transposed else torch.ao.nn.quantized.Conv2d
        return kind(3, 8, 3)

    layer = quantised(make)
    image = torch.quantize_per_tensor(torch.zeros(1, 3, 8, 8), 0.1, 0, torch.quint8)
    assert count_macs(layer, image) == macs


@pytest.mark.parametrize(
    ("call", "shapes", "macs"),
    [
        (torch.mv, [(5, 7), (7,)], 35),
        (torch.addmv, [(5,), (5, 7), (7,)], 35),
        (torch.dot, [(7,), (7,)], 7),
        (torch.addr, [(5, 7), (5,), (7,)], 35),
        (torch.addbmm, [(5, 6), (2, 5, 7), (2, 7, 6)], 2 * 5 * 7 * 6),
        (lambda a, b, c: a.addmm_(b, c), [(5, 6), (5, 7), (7, 6)], 5 * 7 * 6),
        (lambda a, b, c: a.baddbmm_(b, c), [(2, 5, 6), (2, 5, 7), (2, 7, 6)], 2 * 5 * 7 * 6),
        (functional.bilinear, [(3, 5), (3, 6), (2, 5, 6)], 3 * 2 * 5 * 6),
        (lambda a, b: torch.cdist(a, b, p=1), [(4, 5, 7), (4, 6, 7)], 4 * 5 * 6 * 7),
        (
            lambda theta: functional.affine_grid(theta, [2, 3, 4, 5], align_corners=False),
            [(2, 2, 3)],
            2 * 4 * 5 * 2 * 3,
        ),
    ],
)
def test_products_that_torchs_counter_lets_pass_are_counted(call, shapes, macs):
    class Net(nn.Module):
        def forward(self, *inputs):
            return call(*inputs)

    assert count_macs(Net(), *[torch.zeros(shape) for shape in shapes]) == macs


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (torch.fft.rfft2, "aten._fft_r2c"),
        (torch.linalg.inv, "aten.linalg_inv_ex"),
        (torch.linalg.matrix_exp, "aten.linalg_matrix_exp"),
        (lambda x: torch.sparse.mm(x.to_sparse(), x), "aten._sparse_addmm"),
        (lambda x: torch.nested.nested_tensor([x, x]) + 1, "aten._nested_tensor_from_tensor_list"),
    ],
)
def test_what_computes_without_a_rule_is_refused_by_name(call, name):
    class Net(nn.Module):
        def forward(self, x):
            return call(x)

    with pytest.raises(CountingError, match=rf"no rule for what .*{name}.* computes, and it is not free"):
        count_macs(Net(), torch.eye(8))


def test_an_operator_of_somebody_elses_is_refused_until_they_give_it_a_rule():
    @torch.library.custom_op("greenpose_tests::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x @ x

    class Net(nn.Module):
        def forward(self, x):
            return twice(x)

    with pytest.raises(CountingError, match=r"greenpose_tests\.twice"):
        count_macs(Net(), torch.eye(8))
    packet = torch.ops.greenpose_tests.twice
    try:
        torch.utils.flop_counter.register_flop_formula(packet)(lambda shape, **_: 2 * shape[0] ** 3)
        assert count_macs(Net(), torch.eye(8)) == 8**3
    finally:
        flop_registry.pop(packet, None)


COMPUTES = re.compile(
    r"(.*_)?(int_|scaled_|grouped_|int[48]pack_)?(mm|mv|(add|badd|b|addb|hsp)mm_?|addmv|matmul|convolution|conv_?\w*[123]d|"
    r"attention|linear|rnn|lstm|gru|v?dot|fft|qr|eigh?|svd|solve\w*|inv|cholesky)(_\w+)?"
)


def test_no_operator_of_torchs_that_multiplies_matrices_is_free():
    names = {schema.name.removeprefix("aten::") for schema in torch._C._jit_get_all_schemas()}
    products = {name for name in names if COMPUTES.fullmatch(name) and hasattr(torch.ops.aten, name)}
    assert {
        "mm",
        "addmm_",
        "_cudnn_rnn",
        "_fft_c2c",
        "_int_mm",
        "convolution",
        "linalg_qr",
        "quantized_gru",
    } <= products
    free = {name for name in products if is_free(getattr(torch.ops.aten, name))}
    assert free == {"_thnn_fused_gru_cell", "_thnn_fused_lstm_cell", "mkldnn_reorder_conv2d_weight"} | {
        "mkldnn_reorder_conv3d_weight"  # these four get their products from elsewhere, or only move them
    }


LAYERS = [
    *(nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.CELU(), nn.Mish()),
    *(nn.PReLU(), nn.RReLU(), nn.GLU(1), nn.Softmax(1), nn.LogSoftmax(1), nn.Softplus(), nn.Tanh(), nn.Hardtanh()),
    *(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm([4, 8, 8]), nn.InstanceNorm2d(4), nn.LocalResponseNorm(2)),
    *(
        nn.RMSNorm([8]),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveMaxPool2d(2),
        nn.LPPool2d(2, 2),
    ),
    *(
        nn.FractionalMaxPool2d(2, output_size=3),
        nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ),
    *(nn.PixelShuffle(2), nn.ChannelShuffle(2), nn.ZeroPad2d(1), nn.ReflectionPad2d(1), nn.ReplicationPad2d(1)),
    *(nn.Dropout(), nn.Dropout2d(), nn.Flatten(), nn.Unfold(2), nn.Threshold(1, 2)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("training", [True, False])
def test_pointwise_layers_norms_pooling_and_resampling_are_free(layer, training):
    assert count_macs(layer.train(training), torch.rand(2, 4, 8, 8)) == 0


def test_everyday_tensor_work_is_free():
    class Net(nn.Module):
        def forward(self, x):
            best = x.flatten(2).topk(2).values.sort(descending=True).values
            kept = x[x > 0.5].sum() + x.amax((2, 3)).mean() + x.std() + x.var(0).norm() + x.cumsum(1).prod()
            moved = torch.cat([x.roll(1, 2), x.flip(3), torch.where(x > 0, x, -x)]).index_select(0, torch.tensor([1]))
            grid = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"))
            return best.sum() + kept + moved.clamp(0, 1).sum() + (grid.sin() ** 2).sum() + torch.rand_like(x).argmax()

    assert count_macs(Net(), torch.rand(2, 4, 8, 8)) == 0
    assert operations(Net(), torch.rand(2, 4, 8, 8))["topk"] == 1
