from functools import partial
from math import sqrt

import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.nn import functional as F

from mamlkit.machine import seeded
from mamlkit.nets import (
    count,
    from_module,
    he,
    mlp,
    normal,
    pooled_body,
    pooled_convnet,
    scaled,
    strided_body,
    strided_convnet,
    truncated_normal,
    with_context,
    xavier,
)
from tests.oracles import MODELS, Perceptron, gap, one, problem, same

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    "net, extra, numbers",
    [
        (mlp(1, 40, 40, 1), 0, 1_761),
        (mlp(784, 256, 128, 64, 64, 5, norm=True), 0, 247_109),
        (strided_convnet(5), 0, 112_005),
        (strided_convnet(20), 0, 112_980),
        (pooled_convnet(5), 0, 32_773),
        (mlp(2, 100, 100, 2), 2, 10_604),
        (mlp(20, 100, 100, 6), 6, 12_812),
        (mlp(125, 100, 100, 8), 8, 23_516),
    ],
    ids=[
        "sinusoid",
        "Omniglot, no conv",
        "Omniglot 5-way",
        "Omniglot 20-way",
        "miniImagenet",
        "point",
        "cheetah",
        "ant",
    ],
)
def test_the_papers_networks_have_the_papers_numbers_of_parameters(net, extra, numbers):
    """Oracle O13. The policies of section 5.3 have a log standard deviation for each action
    besides."""
    assert count(net.init(seeded(0))) + extra == numbers


@pytest.mark.parametrize(
    "net, adapted", [(strided_convnet(5), 111_749), (pooled_convnet(5), 32_645)]
)
def test_what_adapts_is_all_but_the_batch_norm_shifts(net, adapted):
    """Claim C005."""
    assert (
        count({k: p for k, p in net.init(seeded(0)).items() if not k.endswith(".beta")}) == adapted
    )


@pytest.mark.parametrize(
    "net, inputs, outputs",
    [
        (mlp(2, 4, 8, 3), (6, 2), (6, 3)),
        (mlp(6, 4, 5), (7, 1, 2, 3), (7, 5)),
        (mlp(2, 4, 8, 3, norm=True), (6, 2), (6, 3)),
        (strided_convnet(5, filters=4), (6, 1, 28, 28), (6, 5)),
        (strided_convnet(5, filters=4, channels=2), (6, 2, 9, 11), (6, 5)),
        (pooled_convnet(5, filters=4), (2, 3, 84, 84), (2, 5)),
        (pooled_convnet(3, filters=4, channels=2, size=33), (5, 2, 33, 33), (5, 3)),
    ],
)
def test_a_net_maps_examples_to_outputs(net, inputs, outputs):
    assert net.forward(net.init(seeded(0)), torch.randn(inputs)).shape == outputs


@pytest.mark.parametrize("name", MODELS)
def test_the_generator_alone_decides_how_a_net_starts(name):
    net = MODELS[name][0]()
    state = torch.get_rng_state()
    first, again, other = (net.init(seeded(seed)) for seed in (0, 0, 1))
    assert same(first, again) and gap(first, other) > 1e-4
    assert torch.equal(state, torch.get_rng_state()), "the global generator is not used"


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_in_place_of_a_generator_is_refused(name):
    with pytest.raises(ValueError, match=r"generator is 0: it must be a torch.Generator, e.g. see"):
        MODELS[name][0]().init(0)


@pytest.mark.parametrize(
    "net", [mlp(2, 4, 8, 3, norm=True), strided_convnet(5, filters=4), pooled_convnet(5, filters=4)]
)
def test_biases_and_batch_norm_shifts_start_at_0_and_weights_do_not(net):
    for name, p in net.init(seeded(0)).items():
        assert (p == 0).all() == (not name.endswith(".weight")), name


@pytest.mark.parametrize("net", [strided_convnet(20), pooled_convnet(20)])
def test_a_convnets_head_starts_ten_times_and_more_as_wide_as_its_body(net):
    """The authors draw it with a standard deviation of 1."""
    params = net.init(seeded(0))
    assert params["layer4.weight"].std().item() == pytest.approx(1, rel=0.05)
    assert params["layer3.weight"].std() < 0.1


def test_an_mlp_is_its_layers():
    net = mlp(2, 4, 8, 3, activation=torch.tanh, weight=he)
    p, x = net.init(seeded(0)), torch.randn(6, 2, generator=seeded(1))
    p = {k: v + 0.1 for k, v in p.items()}
    expected = torch.tanh(
        torch.tanh(x @ p["layer0.weight"].T + p["layer0.bias"]) @ p["layer1.weight"].T
        + p["layer1.bias"]
    )
    expected = expected @ p["layer2.weight"].T + p["layer2.bias"]
    assert (net.forward(p, x) - expected).abs().max() < 1e-14


def test_a_convnet_is_its_layers():
    """Convolution, batch norm, ReLU, in this order; then the whole map is averaged, or 2x2 pools
    are taken and all kept."""
    for net, shape, stride in (
        (strided_convnet(5, filters=4, channels=2), (6, 2, 9, 11), 2),
        (pooled_convnet(5, filters=4, channels=2, size=33), (6, 2, 33, 33), 1),
    ):
        x, ones = torch.randn(shape, generator=seeded(1)), torch.ones(4)
        p = {
            k: v + 0.1 * torch.randn(v.shape, generator=seeded(2))
            for k, v in net.init(seeded(0)).items()
        }
        forward = net.forward(p, x)
        for i in range(4):
            x = F.conv2d(x, p[f"layer{i}.weight"], p[f"layer{i}.bias"], stride=stride, padding=1)
            x = F.batch_norm(
                x, None, None, ones, p[f"norm{i}.beta"], training=True, eps=1e-3
            ).relu()
            x = x if stride == 2 else F.max_pool2d(x, 2)
        x = x.mean((2, 3)) if stride == 2 else x.flatten(1)
        assert (forward - (x @ p["layer4.weight"].T + p["layer4.bias"])).abs().max() < 1e-12


@pytest.mark.parametrize(
    "body, net, shape, features",
    [
        (
            strided_body(filters=4, channels=2),
            strided_convnet(5, filters=4, channels=2),
            (6, 2, 9, 11),
            4,
        ),
        (
            pooled_body(filters=4, channels=2),
            pooled_convnet(5, filters=4, channels=2, size=33),
            (6, 2, 33, 33),
            16,
        ),
    ],
    ids=["strided", "pooled"],
)
def test_a_body_is_the_net_without_its_head_and_reads_its_parameters(body, net, shape, features):
    p, x = net.init(seeded(0)), torch.randn(shape, generator=seeded(1))
    hidden = body.forward(p, x)
    assert hidden.shape == (6, features)
    assert (
        hidden @ p["layer4.weight"].T + p["layer4.bias"] - net.forward(p, x)
    ).abs().max() < 1e-12
    assert same(body.init(seeded(0)), {k: v for k, v in p.items() if not k.startswith("layer4")})


def test_the_embedding_of_section_5_2_has_64_numbers():
    """Claim C047, and the numbers of parameters: all of the 5-way net's but its head's 325."""
    body = strided_body()
    assert body.forward(body.init(seeded(0)), torch.zeros(2, 1, 28, 28)).shape == (2, 64)
    assert count(body.init(seeded(0))) == 112_005 - 325 == 111_680
    assert count(pooled_body().init(seeded(0))) == 32_773 - 4_005


def test_a_scale_starts_at_1_and_changes_nothing_yet():
    net = strided_convnet(5, filters=4, channels=2)
    p, x = scaled(net).init(seeded(0)), torch.randn(6, 2, 9, 11, generator=seeded(1))
    assert count(p) == count(net.init(seeded(0))) + 4 * 4 and all(
        (p[f"norm{i}.scale"] == 1).all() for i in range(4)
    )
    assert torch.equal(scaled(net).forward(p, x), net.forward(net.init(seeded(0)), x))
    assert (
        net.forward(p | {"norm2.scale": 2 * torch.ones(4)}, x) - net.forward(p, x)
    ).abs().max() > 1e-3


@pytest.mark.parametrize("sizes", [(), (3,), (3, 0, 2), (2, -1)])
def test_an_mlp_without_layers_is_refused(sizes):
    with pytest.raises(ValueError, match="or more layer sizes of 1|a layer's size is"):
        mlp(*sizes)


def test_inputs_of_another_size_are_refused_naming_both():
    net = mlp(2, 4, 3)
    with pytest.raises(
        ValueError,
        match=r"this net takes 2 numbers an example, \(examples, 2\), got inputs of shape \(6, 5\)",
    ):
        net.forward(net.init(seeded(0)), torch.zeros(6, 5))


@pytest.mark.parametrize("shape", [(), (2,), (0,)])
def test_an_example_alone_is_no_set_of_examples(shape):
    net = mlp(2, 4, 3)
    with pytest.raises(ValueError, match="takes 2 numbers an example, .* got inputs of shape"):
        net.forward(net.init(seeded(0)), torch.zeros(shape))


def test_images_of_another_size_than_the_heads_are_refused_naming_the_remedy():
    net = pooled_convnet(3)
    with pytest.raises(
        ValueError, match=r"images of 32 x 40 give 128 features .* takes 800: .*size="
    ):
        net.forward(net.init(seeded(0)), torch.rand(2, 3, 32, 40))


def test_truncated_normal_is_cut_at_two_deviations():
    drawn = truncated_normal(0.01)(seeded(0), (200, 300))
    assert drawn.abs().max() <= 0.02 and drawn.abs().max() > 0.0199
    assert drawn.std().item() == pytest.approx(0.01 * 0.87963, rel=0.01), (
        "the deviation of a normal cut at 2"
    )
    assert abs(drawn.mean()) < 1e-4


def test_fillers_have_the_variance_that_they_are_named_for():
    dense, conv = (300, 200), (60, 40, 3, 3)
    assert normal(0.5)(seeded(0), dense).std().item() == pytest.approx(0.5, rel=0.01)
    assert he(seeded(0), dense).std().item() == pytest.approx(sqrt(2 / 200), rel=0.01)
    assert he(seeded(0), conv).std().item() == pytest.approx(sqrt(2 / (40 * 9)), rel=0.02)
    for shape, bound in ((dense, sqrt(6 / 500)), (conv, sqrt(6 / (100 * 9)))):
        drawn = xavier(seeded(0), shape)
        assert 0.999 * bound < drawn.abs().max() <= bound and drawn.std().item() == pytest.approx(
            bound / sqrt(3), rel=0.02
        )


@pytest.mark.parametrize("name", ["strided convnet", "pooled convnet", "relu mlp, batch norm"])
def test_a_bias_before_batch_norm_does_nothing(name):
    """Oracle O14: its gradient is zero, its step is zero, and shifting it changes nothing."""
    loss, params, tasks, _ = problem(name)
    support = one(tasks, 0).support
    gradient = grad(loss)(params, support)
    normed = [
        k
        for k in params
        if k.endswith(".bias") and k.replace("layer", "norm").replace("bias", "beta") in params
    ]
    assert len(normed) == len(params) // 3
    for k in params:
        assert (gradient[k].abs().max() < 1e-12) == (k in normed), k
    shifted = params | {
        k: params[k] + torch.randn(params[k].shape, generator=seeded(1)) for k in normed
    }
    assert abs(loss(shifted, support) - loss(params, support)) < 1e-12
    head = [k for k in params if k.endswith(".bias")][-1]
    other = params | {head: params[head] + torch.randn(params[head].shape, generator=seeded(1))}
    assert abs(loss(other, support) - loss(params, support)) > 1e-3, (
        "the last bias, after which nothing is normalised, does count"
    )


def test_batch_norm_makes_predictions_depend_on_the_other_examples():
    """Transductive, as in the authors' code: claims.md says so beside every accuracy."""
    net = strided_convnet(5, filters=4)
    params, x = net.init(seeded(0)), torch.randn(6, 1, 9, 11, generator=seeded(1))
    assert (net.forward(params, x)[:3] - net.forward(params, x[:3])).abs().max() > 1e-3
    assert (net.forward(params, x.flip(0)) - net.forward(params, x).flip(0)).abs().max() < 1e-12, (
        "their order does not matter"
    )


def test_a_module_is_a_net():
    net, module = from_module(Perceptron), Perceptron()
    params = net.init(seeded(0))
    assert (
        list(params) == [name for name, _ in module.named_parameters()]
        and count(params) == 2 * 4 + 4 + 4 * 3 + 3
    )
    assert not any(p.requires_grad for p in params.values())
    module.load_state_dict(params)
    x = torch.randn(6, 2, generator=seeded(1))
    assert torch.equal(net.forward(params, x), module(x))
    with torch.random.fork_rng():
        assert gap(params, from_module(Perceptron).init(seeded(0))) == 0


def test_two_nets_of_one_module_do_not_share_parameters():
    net = from_module(Perceptron)
    a, b = net.init(seeded(0)), net.init(seeded(1))
    a_before = {k: p.clone() for k, p in a.items()}
    for p in b.values():
        p.zero_()
    assert same(a, a_before)


def test_a_module_with_state_in_buffers_is_refused_naming_it():
    with pytest.raises(
        ValueError,
        match=r"BatchNorm1d keeps state in the buffers \['running_mean', 'running_var', "
        r"'num_batches_tracked'\]: use batch statistics, .*track_running_stats=False",
    ):
        from_module(lambda: nn.BatchNorm1d(4))
    assert from_module(lambda: nn.BatchNorm1d(4, track_running_stats=False)).init(
        seeded(0)
    ).keys() == {"weight", "bias"}


def test_nets_are_batched_over_parameters_as_well():
    """After an inner step every task has parameters of its own."""
    for name in MODELS:
        loss, params, tasks, _ = problem(name)
        each = {k: torch.stack([p, 1.1 * p, 0.9 * p]) for k, p in params.items()}
        batched = vmap(loss)(each, tasks.query)
        alone = torch.stack([loss(one(each, i), one(tasks, i).query) for i in range(3)])
        assert (batched - alone).abs().max() < 1e-12, name


def test_a_context_that_moves_the_first_bias_is_the_same_as_one_beside_the_inputs():
    net = mlp(2, 4, 8, 3, activation=torch.tanh, weight=he)
    told = with_context(net, 5, shift="layer0.bias")
    params, x, context = (
        told.init(seeded(0)),
        torch.randn(6, 2, generator=seeded(1)),
        torch.randn(5, generator=seeded(2)),
    )
    beside = {k: p for k, p in params.items() if not k.startswith("context")}
    beside["layer0.weight"] = torch.cat([params["layer0.weight"], params["context.weight"]], 1)
    wider = mlp(2 + 5, 4, 8, 3, activation=torch.tanh)
    expected = wider.forward(beside, torch.cat([x, context.expand(6, 5)], 1))
    assert (told.forward(params | {"context": context}, x) - expected).abs().max() < 1e-14
    assert (told.forward(params, x) - expected).abs().max() > 0.1, "so this test can fail"


@pytest.mark.parametrize(
    "net, shift, shape",
    [
        (mlp(2, 4, 8, 3), "layer1.bias", (2,)),
        (strided_convnet(5, filters=4), "norm2.beta", (1, 28, 28)),
    ],
)
def test_a_context_of_0_leaves_the_net_as_it_is_and_its_names_come_first(net, shift, shape):
    told = with_context(net, 3, shift=shift)
    params, plain, x = told.init(seeded(0)), net.init(seeded(0)), torch.randn(6, *shape)
    assert list(params) == ["context", "context.weight", *plain] and same(
        {k: params[k] for k in plain}, plain
    )
    assert (params["context"] == 0).all() and params["context.weight"].shape == (
        len(plain[shift]),
        3,
    )
    assert torch.equal(told.forward(params, x), net.forward(plain, x))
    assert not torch.equal(params["context.weight"], told.init(seeded(1))["context.weight"])


def test_the_contexts_weight_has_variance_1_over_its_size():
    weight = with_context(mlp(1, 400, 1), 50, shift="layer0.bias").init(seeded(0))["context.weight"]
    assert weight.var().item() == pytest.approx(1 / 50, rel=0.05)


def test_what_a_context_cannot_move_is_refused():
    with pytest.raises(ValueError, match="size is 0: it must be 1 or more"):
        with_context(mlp(2, 4, 3), 0, shift="layer0.bias")
    for shift in ("layer7.bias", "layer0.weight"):
        with pytest.raises(
            ValueError,
            match=f'"{shift}" is nothing that a context can move; these are: '
            ".'layer0.bias', 'layer1.bias'.",
        ):
            with_context(mlp(2, 4, 3), 5, shift=shift).init(seeded(0))


@pytest.mark.parametrize(
    "net, shape", [(strided_convnet(5), (2, 3, 28, 28)), (pooled_convnet(5), (2, 1, 84, 84))]
)
def test_images_of_another_number_of_channels_are_refused_naming_both(net, shape):
    with pytest.raises(ValueError, match=r"takes images \(examples, [13], height, width\), got .*"):
        net.forward(net.init(seeded(0)), torch.zeros(shape))


@pytest.mark.parametrize("net, shape", [(mlp(2, 3), (4, 2)), (strided_convnet(5), (4, 1, 28, 28))])
def test_inputs_of_another_type_are_refused_with_the_remedy(net, shape):
    with pytest.raises(ValueError, match=r"the inputs are torch.float16 and .* e.g. x.float\(\)"):
        net.forward(net.init(seeded(0)), torch.zeros(shape, dtype=torch.float16))


@pytest.mark.parametrize("value", [None, "relu", torch.nn.ReLU, 0.1, lambda: 0])
def test_what_is_no_activation_or_filler_is_refused(value):
    for make in (partial(mlp, 1, 2, 1), partial(strided_convnet, 2), partial(pooled_convnet, 2)):
        with pytest.raises(ValueError, match="^activation is .*: it must be a function of one arg"):
            make(activation=value)
    with pytest.raises(ValueError, match="^weight is .*: it must be a function of 2 arguments"):
        mlp(1, 2, 1, weight=value)


@pytest.mark.parametrize("x", [None, [[1.0, 2.0]], torch.ones(1, 2).numpy()])
def test_inputs_that_are_no_tensor_are_refused(x):
    net = mlp(2, 4, 3)
    with pytest.raises(ValueError, match=r"^the inputs are .*: a tensor is needed"):
        net.forward(net.init(seeded(0)), x)
