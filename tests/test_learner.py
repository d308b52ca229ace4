import pytest
import torch
from torch.func import grad

from mamlkit.inner import inner_step
from mamlkit.learner import Learner, begun, unrolled
from mamlkit.losses import mse
from mamlkit.task import Data, Task
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.imaml import imaml
from mamlkit.variants.maml import maml
from mamlkit.variants.mamlpp import mamlpp
from mamlkit.variants.meta_sgd import meta_sgd
from mamlkit.variants.reptile import reptile
from tests.oracles import copied, gap, one, problem, same

pytestmark = pytest.mark.usefixtures("float64")


def test_a_learner_is_three_functions():
    assert Learner._fields == ("init", "adapt", "meta_grad")


def test_meta_parameters_start_as_a_new_dict_of_the_models():
    params = {"b": torch.ones(2), "a": torch.ones(3)}
    learner = unrolled(None, None)
    meta = learner.init(params)
    assert meta is not params and same(meta, params)
    assert unrolled(None, None, init=lambda p: p | {"extra": torch.ones(1)}).init(
        params
    ).keys() == {"a", "b", "extra"}


def test_an_unrolled_learner_differentiates_the_query_loss_through_any_way_to_adapt():
    """Meta-parameters may hold more than the model's: here each parameter's own step size."""
    loss, params, tasks, _ = problem("tanh mlp")
    task = one(tasks, 0)

    def own_alpha(meta, support):
        theta = {k: meta[k] for k in params}
        return [
            theta,
            inner_step(theta, lambda p: loss(p, support), {k: meta["alpha." + k] for k in params}),
        ]

    learner = unrolled(
        loss,
        own_alpha,
        init=lambda p: p | {"alpha." + k: torch.full_like(v, 0.2) for k, v in p.items()},
    )
    assert learner.adapt is own_alpha
    meta = learner.init(params)
    before = copied(meta)
    gradient, aux = learner.meta_grad(meta, task)
    value = lambda meta: loss(own_alpha(meta, task.support)[-1], task.query)
    assert same(meta, before) and list(gradient) == list(meta)
    assert (
        gap(gradient, grad(value)(meta)) < 1e-14
        and min(g.abs().max() for g in gradient.values()) > 0
    )
    assert (
        aux.keys() == {"loss"} and aux["loss"].shape == () and torch.equal(aux["loss"], value(meta))
    )


def test_the_last_step_of_the_path_is_what_is_measured():
    loss = mse(lambda p, x: p["w"] * x)
    learner = unrolled(
        loss, lambda meta, support: [meta, {"w": 2 * meta["w"]}, {"w": 3 * meta["w"]}]
    )
    data = Data(torch.ones(5), torch.zeros(5))
    gradient, aux = learner.meta_grad({"w": torch.tensor(2.0)}, Task(data, data))
    assert (aux["loss"] - 36).abs() < 1e-12 and (gradient["w"] - 2 * 9 * 2).abs() < 1e-12


@pytest.mark.parametrize("part", ["support", "query"])
def test_a_loss_of_several_numbers_is_refused_inside_and_outside(part):
    loss, params, tasks, _ = problem("tanh mlp")
    several = lambda p, data: loss(p, data).repeat(2)
    inner, outer = (several, loss) if part == "support" else (loss, several)
    learner = unrolled(outer, lambda p, d: [p, inner_step(p, lambda q: inner(q, d), 0.1)])
    with pytest.raises(
        ValueError, match=r"the value of the loss is a tensor of .* shape \(2,\): it"
    ):
        learner.meta_grad(params, one(tasks, 0))


CUT = {
    "detached": lambda params, x: (params["w"] * x).detach(),
    "item": lambda params, x: params["w"].sum().item() * x,
    "numpy": lambda params, x: torch.from_numpy(params["w"].detach().numpy() * x.numpy()),
    "no_grad": torch.no_grad()(lambda params, x: params["w"] * x),
    "argmax": lambda params, x: (params["w"] * x).argmax(0).double().expand(5),
    "forgotten": lambda params, x: 2 * x,
}


@pytest.mark.parametrize("make", [maml, fomaml, reptile, meta_sgd, mamlpp, imaml])
@pytest.mark.parametrize("how", CUT)
def test_a_loss_that_is_cut_off_from_the_parameters_is_refused(how, make):
    loss = lambda params, data: (CUT[how](params, data.x) - data.y).square().mean()
    learner = make(loss, alpha=0.1, steps=1)
    with pytest.raises(ValueError, match="^the loss does not depend on the parameters w, and no"):
        begun(learner, {"w": torch.ones(5)}, Data(torch.ones(5), torch.ones(5)))


def test_a_loss_may_leave_parameters_out_and_adapt_nothing():
    loss = lambda params, data: (params["w"] * data.x - data.y).square().mean()
    params, support = {"w": torch.ones(5), "idle": torch.ones(2)}, Data(*torch.ones(2, 5))
    for steps in 0, 1:
        assert same(begun(maml(loss, alpha=0.1, steps=steps), params, support), params)


def test_parameters_of_another_shape_are_refused_with_what_torch_says():
    loss = lambda params, data: (data.x @ params["w"] - data.y).square().mean()
    support = Data(torch.ones(5, 3), torch.ones(5))
    with pytest.raises(ValueError, match=r"^the learner cannot adapt .* size mismatch, got"):
        begun(maml(loss, alpha=0.1, steps=1), {"w": torch.ones(2)}, support)


@pytest.mark.parametrize(
    ("alpha", "words"),
    [
        ({"v": 0.1}, "no parameter is called"),
        (torch.ones(2), r"alpha has shape \(2,\) and its parameter \(5,\)"),
    ],
)
def test_why_meta_parameters_cannot_be_made_is_said(alpha, words):
    loss = lambda params, data: (params["w"] * data.x - data.y).square().mean()
    with pytest.raises(ValueError, match=words):
        begun(meta_sgd(loss, alpha=alpha, steps=1), {"w": torch.ones(5)}, Data(*torch.ones(2, 5)))
