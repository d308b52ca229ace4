"""What is kept of section 5.1's networks: their errors on test waves, summed up.

A run is one network on one wave. Where its error passes `LIMIT` it has diverged, and is counted;
means are over the others.
"""

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.baselines.fine_tune import fine_tune
from mamlkit.baselines.oracle import sine_fit
from mamlkit.baselines.pretrain import pretrain
from mamlkit.evaluate import evaluate, on_query, on_support
from mamlkit.families.sinusoid import informed, sinusoid
from mamlkit.inner import adapt, inner_step, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.machine import seeded
from mamlkit.probes.tangent_kernel import sharpness
from mamlkit.studies.sinusoid_methods import LIMIT, NET, STEPS, errors, method, waves
from mamlkit.task import Data, Task, sample
from mamlkit.trees import Params, tree_map
from mamlkit.variants.maml import maml

SHOTS = (5, 10, 20)
GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # step sizes tried for the pretrained network
FASTER = (0.005, 0.01, 0.02, 0.05)  # and for the race to an error of 0.5
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the alpha that was trained for
WIDTHS = (1.0, 2.0, 4.0, 6.0, 10.0)  # of the interval in which all five points lie
QUANTILES = torch.tensor([0.1, 0.5, 0.9])
LONG = 100  # steps, ten times the paper's
GOAL = 0.5  # the error to which a new wave is to be learned
Measured = dict[str, Tensor]


def summary(name: str, e: Tensor) -> Measured:
    """A test's errors (tasks, steps + 1) in short. "median": of all runs, by step. "mean": of those
    that do not diverge. "lost": how many have by each step. "change", "change error": from a step
    to the next, mean and standard error, of those that do not diverge. "better": the share of all
    that are below their error after one step. "start": the mean before any step."""
    lost = (e > LIMIT).cummax(1).values
    calm = e[~lost[:, -1]].double()
    change = calm.diff(dim=1)
    found = {
        "median": e.median(0).values,
        "mean": calm.mean(0),
        "lost": lost.sum(0),
        "tasks": torch.tensor(len(e)),
        "change": change.mean(0),
        "change error": change.std(0) / max(1, len(calm)) ** 0.5,
        "better": (e < e[:, 1:2]).double().mean(0),
        "start": e[:, 0].double().mean(),
    }
    return {f"{name} {key}": value for key, value in found.items()}


def figure3(learner, theta: Params, shots: int, setting, told=False) -> Tensor:
    """Errors of the test waves after 0 to 10 steps, with `shots` points of each."""
    if not told:
        return errors(learner, theta, waves(shots, setting["test_tasks"]))
    family = informed(sinusoid(shots=shots, queries=100))
    tasks = sample(family, seeded(10_000), setting["test_tasks"])
    return errors(learner, theta, tasks, on_query(method(setting).loss))


def of_maml(setting, theta: Params) -> Measured:
    """Figures 2 and 3, and where MAML stops working."""
    learner, loss = method(setting).learner(STEPS), method(setting).loss
    found = {}
    for k in SHOTS:
        e = figure3(learner, theta, k, setting)
        found |= summary(f"K={k}", e)
        if k == 5:
            own = errors(learner, theta, waves(5, setting["test_tasks"]), on_support(loss))
            found |= {"first twelve": e[:12], **overfitting(e, own)}
    return (
        found
        | edges(setting, theta)
        | longer_and_larger(setting, theta)
        | other_places(setting, theta, learner)
        | blow_up(setting, theta)
        | race(setting, theta)
    )


def overfitting(e: Tensor, own: Tensor) -> Measured:
    """Of the waves whose points are fitted better after ten steps than after one: how many are
    themselves fitted worse ("overfit"), and by more than half ("overfit by half")."""
    closer = own[:, -1] < own[:, 1]
    return {
        "overfit": (closer & (e[:, -1] > e[:, 1])).sum(),
        "overfit by half": (closer & (e[:, -1] > 1.5 * e[:, 1])).sum(),
    }


def longer_and_larger(setting, theta: Params) -> Measured:
    """A hundred steps, and steps of other sizes than the one trained for."""
    tasks, alpha = max(20, min(2_000, setting["test_tasks"] // 2)), setting["alpha"]
    loss, found = method(setting).loss, {}
    for k in (5, 10):
        some = tree_map(lambda t: t[:tasks], waves(k, setting["test_tasks"]))
        learner = maml(loss, alpha=alpha, steps=LONG)
        found |= summary(f"K={k} long", errors(learner, theta, some))
        for m in MULTIPLES:
            learner = maml(loss, alpha=alpha * m, steps=STEPS)
            found |= summary(f"K={k} alpha x {m:g}", errors(learner, theta, some))
    return found


def other_places(setting, theta: Params, learner: Learner) -> Measured:
    """Points in one half and questions in the other (Figure 2), questions outside [-5, 5], and all
    points in a narrow interval; and the amplitudes of the curves that came of it."""
    found = halves(setting, theta, learner)
    for k in (5, 10):
        fitted = [amplitudes(learner, theta, t, setting) for t in half(k, setting)]
        found[f"half K={k} correlations"] = torch.stack(fitted).mean(0)
    outside = [place(10, setting, query_range=q) for q in ((-10.0, -5.0), (5.0, 10.0))]
    found |= summary("outside", torch.cat([errors(learner, theta, t) for t in outside]))
    found["outside zero"] = torch.cat([t.query.y for t in outside]).square().mean()
    for w in WIDTHS:
        tasks = place(5, setting, width=w)
        found |= summary(f"width {w:g}", errors(learner, theta, tasks))
        found[f"width {w:g} correlations"] = amplitudes(learner, theta, tasks, setting)
    return found


def place(shots: int, setting, **how) -> Task:
    """Test waves that all measures of so many shots share."""
    return waves(shots, setting["test_tasks"], 30_000, **how)


def half(shots: int, setting) -> list[Task]:
    """Supports left of zero and questions right of it, and the mirror image."""
    left, right = (-5.0, 0.0), (0.0, 5.0)
    return [
        place(shots, setting, support_range=a, query_range=b)
        for a, b in ((left, right), (right, left))
    ]


def halves(setting, theta: Params, learner: Learner, shots=(5, 10)) -> Measured:
    """The errors of supports that show one half of the wave."""
    found = {}
    for k in shots:
        both = torch.cat([errors(learner, theta, t) for t in half(k, setting)])
        found |= summary(f"half K={k}", both)
    return found


def amplitudes(learner: Learner, theta: Params, tasks: Task, setting) -> Tensor:
    """How the amplitude of the sine fitted to each adapted curve on [-5, 5] goes with the true one:
    (Pearson's correlation, that of the runs that do not diverge, the correlation of ranks)."""
    grid = torch.linspace(-5, 5, 101)[:, None]

    def fitted(support):
        path = [NET.forward(p, grid) for p in learner.adapt(theta, support)]
        curve = path[-1].clamp(-1e3, 1e3).nan_to_num(nan=1e3)
        far = torch.stack(path).nan_to_num(nan=1e9).square().mean((1, 2)).amax()
        return sine_fit(Data(grid, curve)).norm(), far

    found, far = vmap(fitted, chunk_size=500)(tasks.support)
    true = sinusoid().noise(seeded(30_000), setting["test_tasks"]).amplitude.double()
    calm = far <= LIMIT
    ranks = [t.argsort().argsort().double() for t in (found, true)]
    pairs = (found, true), (found[calm], true[calm]), ranks
    return torch.stack([torch.corrcoef(torch.stack([*pair]))[0, 1] for pair in pairs])


def edges(setting, theta: Params) -> Measured:
    """The 10, 50 and 90 % quantiles of alpha x sharpness / 2 over 1,000 test waves, before (row 0)
    and after one step (row 1): above 1 gradient descent is unstable (X006)."""
    found = {}
    for k in SHOTS:
        tasks = waves(k, min(1_000, setting["test_tasks"]))
        both = sharpnesses(setting, theta, tasks) * setting["alpha"] / 2
        found[f"edge K={k}"] = both.quantile(QUANTILES, dim=1).T
    return found


def sharpnesses(setting, theta: Params, tasks: Task) -> Tensor:
    """The sharpness of each wave's support loss before and after one step: (2, tasks)."""
    loss = method(setting).loss

    def both(support):
        after = inner_step(theta, lambda p: loss(p, support), setting["alpha"])
        return torch.stack([sharpness(NET.forward, p, support.x) for p in (theta, after)])

    return vmap(both, chunk_size=250)(tasks.support).T.contiguous()


def blow_up(setting, theta: Params) -> Measured:
    """Who diverges (X007): each wave's sharpness before and after the first step, whether it does,
    and what the remedy gives, an alpha of at most 1 / sharpness. On waves used nowhere else."""
    alpha, loss = setting["alpha"], method(setting).loss
    tasks = waves(5, setting["test_tasks"], 50_000)

    def limited(theta, support):
        path = [theta]
        for _ in range(STEPS):
            step = (1 / sharpness(NET.forward, path[-1], support.x)).clamp(max=alpha)
            path.append(inner_step(path[-1], lambda p: loss(p, support), step))
        return path

    e = errors(maml(loss, alpha=alpha, steps=STEPS), theta, tasks)
    remedy = evaluate(unrolled(loss, limited), theta, tasks, on_query(loss), chunk=250)
    return {
        "blow-up sharpness": sharpnesses(setting, theta, tasks),
        "blow-up diverges": (e > LIMIT).any(1),
        **summary("blow-up", e),
        **summary("limited", remedy),
    }


def race(setting, theta: Params) -> Measured:
    """Steps on ten points until the median wave's error is at most 0.5, for each of `FASTER`, on
    100 validation and 100 test waves: (2, step sizes); one more than `patience` where it never is.
    """
    patience, n = setting["patience"], max(20, setting["test_tasks"] // 10)
    sets = [waves(10, n, 20_000), waves(10, setting["test_tasks"])]
    sets = [tree_map(lambda t: t[:100], tasks) for tasks in sets]
    found = [[needed(theta, tasks, alpha, patience) for alpha in FASTER] for tasks in sets]
    return {"race": torch.tensor(found)}


def needed(theta: Params, tasks: Task, alpha: float, patience: int, block: int = 50) -> int:
    """How many inner steps the median wave takes to the GOAL; patience + 1 where it stays above."""
    loss = method({"method": "maml", "alpha": alpha, "shots": 10}).loss

    def advance(params, task):
        path = adapt(params, repeated(loss, task.support, block), [alpha] * block)
        return path[-1], torch.stack([loss(p, task.query) for p in path])

    params = tree_map(lambda p: p.expand(len(tasks.query.x), *p.shape), theta)
    for done in range(0, patience, block):
        params, curves = vmap(advance)(params, tasks)
        median = curves.nan_to_num(nan=1e6).median(0).values[: patience - done + 1]
        if (median <= GOAL).any():
            return done + int((median <= GOAL).int().argmax())
    return patience + 1


def of_pretrained(setting, theta: Params) -> Measured:
    """Fine-tuned at the step sizes that validation waves chose, and at the others."""
    loss, found = method(setting).loss, {}
    for k in SHOTS:
        validation = waves(k, max(20, setting["test_tasks"] // 10), 20_000)
        tried = [errors(pretrain(loss, alpha=a, steps=STEPS), theta, validation) for a in GRID]
        found[f"K={k} tuning"] = torch.stack([e[:, -1].double().mean() for e in tried])
        learner = pretrain(loss, alpha=setting[f"alpha K={k}"], steps=STEPS)
        e = figure3(learner, theta, k, setting)
        found |= summary(f"K={k}", e)
        if k != 20:
            found |= halves(setting, theta, learner, shots=(k,))
        if k == 5:
            tasks = waves(5, setting["test_tasks"])
            found |= summary("K=5 support", errors(learner, theta, tasks, on_support(loss)))
            found["first twelve"] = e[:12]
            stronger = unrolled(loss, fine_tune(loss, alpha=0.01, steps=STEPS))
            found |= summary("K=5 Adam", errors(stronger, theta, tasks))
    return found | edges(setting, theta) | race(setting, theta)


def at_three_shots(setting, theta: Params) -> Measured:
    """Figure 3's curves alone."""
    learner, told = method(setting).learner(STEPS), setting["method"] == "oracle"
    found = {}
    for k in SHOTS:
        found |= summary(f"K={k}", figure3(learner, theta, k, setting, told))
    return found if told else found | edges(setting, theta)


def at_five(setting, theta: Params) -> Measured:
    """Figure 3's first panel alone."""
    m = method(setting)
    e = errors(m.learner(STEPS), theta, waves(5, setting["test_tasks"]), on_query(m.loss))
    return summary("K=5", e)
