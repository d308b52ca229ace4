"""What may come in, and the sentences that refuse the rest."""

import pytest
import torch
from torch import nn
from torch.func import grad, vmap

from mamlkit.boundary import (
    batched,
    concrete,
    inner_loop,
    made_of,
    parameters,
    positive,
    scalar,
    step_size,
    whole,
)
from mamlkit.optimizer import adam

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [0, -3, 2.5, NAN, INF, True, "5", None, 1j, torch.tensor(2.0)])
def test_what_is_no_whole_number_of_1_or_more_is_refused_naming_it(value):
    with pytest.raises(ValueError, match=r"^tasks is .*: it must be .*1 or more$"):
        whole("tasks", value)


def test_whole_numbers_of_other_libraries_are_whole_numbers():
    import numpy

    assert whole("n", numpy.int64(3)) == 3 and type(whole("n", numpy.int64(3))) is int
    assert whole("n", 0, 0) == 0 and whole("n", 5, 1, 5) == 5
    with pytest.raises(ValueError, match="n is 6: it must be from 1 to 5"):
        whole("n", 6, 1, 5)


@pytest.mark.parametrize(
    "alpha",
    [-1, NAN, INF, 1j, True, "0.1", None, torch.tensor(NAN), torch.tensor([0.1, INF])]
    + [torch.tensor(1), torch.tensor(1j)],
)
def test_what_is_no_step_size_is_refused(alpha):
    with pytest.raises(ValueError, match="^alpha (is|holds)") as refusal:
        step_size(alpha)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="^alpha"):
        inner_loop(print, {"w": alpha}, 1)


@pytest.mark.parametrize("shape, fits", [((), True), ((3,), True), ((2, 3), True), ((2, 1), True)])
def test_a_step_size_of_the_parameters_shape_fits(shape, fits):
    step_size(torch.ones(shape), torch.zeros(2, 3))


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1, 2, 3), (2, 2, 3)])
def test_a_step_size_that_would_change_the_parameters_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"alpha has shape .* and its parameter \(2, 3\)"):
        step_size(torch.ones(shape), torch.zeros(2, 3))


def test_values_are_looked_at_only_where_they_can_be():
    seen = []
    assert concrete()
    vmap(lambda x: seen.append(concrete()) or x)(torch.ones(2))
    grad(lambda x: seen.append(concrete()) or x)(torch.ones(()))
    assert seen == [False, False]
    vmap(lambda a: positive("beta", a, "it") * 1)(torch.ones(2))


@pytest.mark.parametrize(
    "params, words",
    [
        (nn.Linear(2, 1), "the parameters are a module Linear: they must be a dict"),
        ({"w": [1.0]}, 'the parameter "w" is \\[1.0\\]'),
        ({"w": torch.ones(2, dtype=torch.int64)}, 'the parameter "w" is a tensor of torch.int64'),
        ({"w": torch.ones(2).to_sparse()}, "parameters are dense tensors of real numbers"),
        ({0: torch.ones(2)}, "a parameter is called 0: its name must be a word"),
        (
            {"w": torch.ones(2, dtype=torch.complex64)},
            "parameters are dense tensors of real numbers",
        ),
        ({"w": torch.ones(1), "b": torch.ones(1).double()}, "of several dtypes, torch.float32, to"),
        ({"w": torch.tensor([1.0, NAN])}, 'the parameter "w" holds a value that is not finite'),
    ],
)
def test_what_are_no_parameters_is_refused(params, words):
    with pytest.raises(ValueError, match=words):
        parameters(params)


def test_parameters_are_cut_off_from_their_graph():
    held = parameters(dict(nn.Linear(2, 1).named_parameters()))
    assert list(held) == ["weight", "bias"] and not any(p.requires_grad for p in held.values())


@pytest.mark.parametrize(
    "value, words",
    [
        (
            torch.optim.Adam([torch.zeros(1, requires_grad=True)]),
            "is a Adam, which has no function",
        ),
        (adam, "is the function adam, which has no function init and no update: adam"),
        (0.001, "is 0.001, which has no function init"),
    ],
)
def test_what_is_no_optimizer_is_refused_with_the_remedy(value, words):
    with pytest.raises(ValueError, match=words):
        made_of("optimizer", value, ("init", "update"), "adam(0.001) is one")


@pytest.mark.parametrize("loss", [0.1, torch.nn.MSELoss(), lambda params, x, y: x, lambda: 0])
def test_what_is_no_loss_is_refused_when_the_learner_is_made(loss):
    with pytest.raises(
        ValueError, match=r"loss is .*: it must be a function \(params, data\) -> sc"
    ):
        inner_loop(loss, 0.1, 1)


@pytest.mark.parametrize("loss", [lambda params, data: 0, lambda p, d, weight=1: 0, max])
def test_functions_of_two_arguments_may_be_losses(loss):
    inner_loop(loss, 0.1, 1)


@pytest.mark.parametrize("value", [0.5, None, torch.zeros(1), torch.zeros(3, 1)])
def test_the_value_of_a_loss_is_one_number(value):
    with pytest.raises(ValueError, match="the value of the loss is .*: it must be a tensor of one"):
        scalar(value)
    assert scalar(torch.tensor(0.5)) == 0.5


UNBATCHED = {
    "item": (lambda t: t * t.sum().item(), "reads a tensor's numbers out of torch"),
    "float": (lambda t: t * float(t.sum()), "reads a tensor's numbers out of torch"),
    "numpy": (lambda t: torch.from_numpy(t.numpy()), "reads a tensor's numbers out of torch"),
    "list": (lambda t: torch.tensor(t.tolist()), "reads a tensor's numbers out of torch"),
    "if": (lambda t: t if t.sum() > 0 else -t, "`if`"),
    "random": (lambda t: t + torch.randn(3), "draws random numbers"),
    "mask": (lambda t: t[t > 0], "makes a tensor whose size depends on numbers"),
    "unique": (lambda t: t.unique(), "makes a tensor whose size depends on numbers"),
    "write": (
        lambda t: torch.zeros(3).index_put_((torch.tensor([0]),), t[:1]),
        "writes a task's numbers into a tensor that all tasks share",
    ),
}


@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("name", UNBATCHED)
def test_what_cannot_be_batched_is_said_in_one_sentence(name, slope):
    wrong, words = UNBATCHED[name]
    function = grad(lambda t: wrong(t).sum()) if slope else wrong
    with pytest.raises(ValueError) as error, batched():
        vmap(function)(torch.ones(4, 3))
    said = str(error.value)
    assert words in said and "\n" not in said and "tasks are batched" in said
    assert said.startswith("the function <lambda> (line ")


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="broadcast|size of tensor"), batched():
        vmap(lambda t: t + torch.ones(5))(torch.ones(4, 3))


def test_parameters_without_numbers_are_refused():
    with pytest.raises(ValueError, match='^the parameter "w" is on the device meta, which holds'):
        parameters({"w": torch.ones(2, device="meta")})
