import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from mamlkit.machine import seeded
from mamlkit.nets import count
from mamlkit.sequence import gru, lstm, lstm_step, read_gradient, transformer

pytestmark = pytest.mark.usefixtures("float64")
EXAMPLES, TIME = 6, 8


def still_fails(act, what, words):
    """A limit of torch that the workbook tells of: when a torch lifts it, the text must change."""
    try:
        act()
    except RuntimeError as failure:
        assert words in str(failure)
        return
    pytest.fail(
        f"torch {torch.__version__} can now {what}: sequence.py's docstring and the "
        "workbook's text on claims C001 and C006 must change"
    )


def drawn(net, inputs):
    params, generator = net.init(seeded(0)), seeded(1)
    return (
        {k: p + 0.1 * torch.randn(p.shape, generator=generator) for k, p in params.items()},
        torch.randn(EXAMPLES, TIME, inputs, generator=generator),
    )


def test_a_gradient_is_read_as_its_size_and_its_sign():
    """log|g| / 10 and the sign from e^-10 on; below, -1 and e^10 g: both parts meet there."""
    edge = torch.exp(torch.tensor(-10.0))
    g = torch.tensor([1.0, -1.0, torch.e**5, -edge, edge / 4, 0.0])
    size, sign = read_gradient(g).unbind(-1)
    assert torch.allclose(size, torch.tensor([0.0, 0.0, 0.5, -1.0, -1.0, -1.0]))
    assert torch.allclose(sign, torch.tensor([1.0, -1.0, 1.0, -1.0, 0.25, 0.0]))
    assert read_gradient(torch.zeros(3, 4)).shape == (3, 4, 2)


def test_gru_is_torchs_gru_and_a_linear_layer():
    net = gru(2, 4, 3)
    params, x = drawn(net, 2)
    theirs, out = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 3)
    theirs.load_state_dict(
        {
            "weight_ih_l0": params["input.weight"],
            "bias_ih_l0": params["input.bias"],
            "weight_hh_l0": params["state.weight"],
            "bias_hh_l0": params["state.bias"],
        }
    )
    out.load_state_dict({"weight": params["out.weight"], "bias": params["out.bias"]})
    assert net.forward(params, x).shape == (EXAMPLES, 3) and count(params) == 3 * 4 * (
        2 + 4 + 2
    ) + 3 * (4 + 1)
    assert (net.forward(params, x) - out(theirs(x)[0][:, -1])).abs().max() < 1e-12


def test_transformer_is_torchs_attention_between_linear_layers():
    net = transformer(3, 4, 2, 5)
    params, x = drawn(net, 3)
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    attention.load_state_dict(
        {
            "in_proj_weight": params["qkv.weight"],
            "in_proj_bias": params["qkv.bias"],
            "out_proj.weight": params["mix.weight"],
            "out_proj.bias": params["mix.bias"],
        }
    )
    dense = lambda name, x: x @ params[f"{name}.weight"].T + params[f"{name}.bias"]
    h = dense("embed", x)
    h = h + attention(h, h, h)[0]
    h = h + dense("down", F.gelu(dense("up", h)))
    assert net.forward(params, x).shape == (EXAMPLES, 5)
    assert (net.forward(params, x) - dense("out", h.mean(1))).abs().max() < 1e-12


def test_gru_sees_the_order_of_time_and_attention_a_set():
    order = torch.randperm(TIME, generator=seeded(3))
    params, x = drawn(gru(2, 4, 3), 2)
    assert (
        gru(2, 4, 3).forward(params, x[:, order]) - gru(2, 4, 3).forward(params, x)
    ).abs().max() > 1e-2
    params, x = drawn(transformer(2, 4, 2, 3), 2)
    forward = transformer(2, 4, 2, 3).forward
    assert (forward(params, x[:, order]) - forward(params, x)).abs().max() < 1e-12
    moved = x.clone()
    moved[:, 3] += 1
    assert (forward(params, moved) - forward(params, x)).abs().max() > 1e-3


@pytest.mark.parametrize("net", [gru(2, 4, 3), transformer(2, 4, 2, 3)], ids=["gru", "transformer"])
def test_examples_do_not_see_each_other(net):
    params, x = drawn(net, 2)
    assert (net.forward(params, x)[:2] - net.forward(params, x[:2])).abs().max() < 1e-12


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(
        ValueError, match="width is 5 and heads is 2: width must be a multiple of heads"
    ):
        transformer(3, 5, 2, 1)


def test_torchs_own_gru_cannot_be_batched():
    """Why `gru` is written out (claims C001, C006)."""
    module = nn.GRU(2, 4, batch_first=True)
    params, x = dict(module.named_parameters()), torch.randn(3, EXAMPLES, TIME, 2)
    still_fails(
        lambda: vmap(lambda x: functional_call(module, params, (x,))[0])(x),
        "batch nn.GRU with vmap",
        "aten::gru",
    )


def test_torchs_fused_attention_has_no_second_derivative():
    """Why `transformer` is written out (claims C001, C006). The unfused kernel has one."""
    q = torch.randn(1, 2, TIME, 4, generator=seeded(0))
    first = grad(lambda q: F.scaled_dot_product_attention(q, q, q).square().sum())
    second = grad(lambda q: first(q).square().sum())
    with sdpa_kernel(SDPBackend.MATH):
        plain, unfused = first(q), second(q)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert (first(q) - plain).abs().max() < 1e-10 and torch.isfinite(unfused).all()
        still_fails(
            lambda: second(q),
            "differentiate fused attention twice",
            "derivative for aten::_scaled_dot_product_flash_attention",
        )


def test_an_lstm_step_is_torchs():
    params, generator = lstm(seeded(0), "cell", 3, 4), seeded(1)
    assert (
        count(params) == 4 * 4 * (3 + 4) + 4 * 4
        and params["cell.bias"].tolist() == [1.0] * 4 + [0.0] * 12
    ), "the forget gate starts open"
    params = {k: p + 0.1 * torch.randn(p.shape, generator=generator) for k, p in params.items()}
    x, h, c = (torch.randn(5, n, generator=generator) for n in (3, 4, 4))
    theirs = nn.LSTMCell(3, 4)  # its gates are in the order write, forget, new, show
    weight, bias = (torch.cat([p[4:8], p[:4], p[12:], p[8:12]]) for p in params.values())
    theirs.load_state_dict(
        {
            "weight_ih": weight[:, :3],
            "weight_hh": weight[:, 3:],
            "bias_ih": bias,
            "bias_hh": torch.zeros(16),
        }
    )
    for ours, torchs in zip(lstm_step(params, "cell", x, (h, c)), theirs(x, (h, c))):
        assert (ours - torchs).abs().max() < 1e-12
    assert (
        lstm_step(params, "cell", x[0], (h[0], c[0]))[0]
        - lstm_step(params, "cell", x, (h, c))[0][0]
    ).abs().max() < 1e-12
