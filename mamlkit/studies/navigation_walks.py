"""What a policy of section 5.3 does on a goal before and after each inner step, and what of it is
kept."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

from mamlkit.bank.experiment import Setting
from mamlkit.inner import adapt, repeated
from mamlkit.learner import Learner, unrolled
from mamlkit.machine import seeded
from mamlkit.nets import with_context
from mamlkit.rl.collect import collect
from mamlkit.rl.goals import Informed, Mixed
from mamlkit.rl.navigation import SPEED, Navigation, authors_goals
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import Policy, gaussian
from mamlkit.rl.rollout import Trajectories, mean_return, rollout
from mamlkit.task import Task
from mamlkit.train import Step
from mamlkit.trees import Params

UPDATES = 4  # Figure 4 shows three, the text says up to four
COUNTED = ("begun", "finished", "first")  # see `mean_return`
LOST = -150.0  # what a walk counts that met a number that is not finite: less than any other
# Seeds of generators: an own one for each thing that is measured.
AT_VALIDATION_GOALS, AT_SNAPSHOTS, AT_TEST, ON_REUSE, ON_COUNTS = (
    20_000,
    30_000,
    40_000,
    50_000,
    60_000,
)


def own_world(setting: Setting, *, mixed: bool = False):
    """The environment of a setting; the oracle is told the goal. mixed: a new goal for every walk,
    as joint training sees it."""
    world = Navigation(reward=setting["reward"])
    world = Informed(world) if setting["method"] == "oracle" else world
    return Mixed(world) if mixed else world


def own_policy(setting: Setting) -> Policy:
    """Two hidden layers of 100 ReLUs; with a context, that many inputs more."""
    policy = gaussian(4 if setting["method"] == "oracle" else 2, 2)
    return (
        with_context(policy, setting["context"], shift="layer0.bias")
        if setting["context"]
        else policy
    )


def sampling(setting: Setting, alpha: float, steps: int, later: float = 0.5) -> list:
    """Step sizes of `steps` inner steps: `alpha`, then `later` times that (appendix A.2: half)."""
    sizes = [alpha, *[later * alpha] * (steps - 1)][:steps]
    return sizes if setting["adapts"] == "all" else [{setting["adapts"]: a} for a in sizes]


def stepping(setting: Setting, alphas: list) -> Callable[[int], Learner]:
    """Learners whose inner steps have the given sizes, for `collect`."""
    loss = reinforce(own_policy(setting))
    path = lambda k: lambda theta, support: adapt(theta, repeated(loss, support, k), alphas[:k])
    return lambda k: unrolled(loss, path(k))


def walked(
    setting: Setting, theta: Params, goals: Tensor, alphas: list, rollouts: int, seed: int
) -> tuple[Task, list[Trajectories]]:
    """What a policy does on each goal before and after each inner step: see `collect`."""
    return collect(
        own_world(setting),
        own_policy(setting),
        stepping(setting, alphas),
        theta,
        goals,
        steps=len(alphas),
        rollouts=rollouts,
        generator=seeded(seed),
    )


def validation_goals(number: int = 20) -> Tensor:
    """Goals that neither training nor the test sees, (number, 2)."""
    return Navigation().sample_goals(seeded(AT_VALIDATION_GOALS), 40)[:number]


def validation_return(setting: Setting, theta: Params, alpha: float) -> float:
    """The mean return on validation goals after one inner step of size `alpha`; of the oracle,
    which takes none, before it."""
    steps = 0 if setting["method"] == "oracle" else 1
    goals, alphas = validation_goals(setting["validation"]), sampling(setting, alpha, steps)
    played = walked(setting, theta, goals, alphas, setting["validation"], AT_SNAPSHOTS)[1]
    return mean_return(played[-1], Navigation().horizon).mean().item()


def distance_at_the_end(played: Trajectories, goals: Tensor) -> Tensor:
    """How far from its goal the first walk of every lane ends, on average: (goals,)."""
    at = played.last.int().argmax(-1)[..., None, None].expand(-1, -1, 1, 2)
    places = played.observation[..., :2] + SPEED * played.action.clamp(-1, 1)
    return (places.gather(2, at).squeeze(2) - goals[:, None]).norm(dim=-1).mean(1)


def summary(played: list[Trajectories], goals: Tensor) -> dict[str, Tensor]:
    """Mean returns counted in three ways, where walks end, and how many begin in a batch;
    (goals, updates + 1) each."""
    horizon = Navigation().horizon
    broken = torch.stack([t.broken.flatten(1).any(1) for t in played], 1)
    found = {way: torch.stack([mean_return(t, horizon, way) for t in played], 1) for way in COUNTED}
    started = torch.stack([t.first[..., :horizon].flatten(1).sum(1) for t in played], 1)
    ends = torch.stack([distance_at_the_end(t, goals) for t in played], 1)
    return {way: r.masked_fill(broken, LOST) for way, r in found.items()} | {
        "end": ends,
        "walks": started.float(),
    }


def measure(setting: Setting, step: Step) -> tuple[Params, dict[str, Tensor]]:
    """The snapshot that did best on validation goals, and what it does on the authors' goals.

    "begun", "finished", "first", "end", "walks": what `summary` gives of the test goals for each
    first step size that is tested, (tested, goals, updates + 1). "validation": the return on
    validation goals for each that is tried, every walk counted, (tried, goals, updates + 1). The
    oracle takes no update. MAML's plain policies are asked more: see `_asked_of_maml`.
    """
    theta = step.best
    updates = 0 if setting["method"] == "oracle" else UPDATES

    def at(alpha, goals, walks):
        alphas = sampling(setting, alpha, updates)
        return summary(walked(setting, theta, goals, alphas, walks, AT_TEST)[1], goals)

    test = [at(a, authors_goals(setting["goals"]), setting["walks"]) for a in setting["tested"]]
    found = {k: torch.stack([one[k] for one in test]) for k in test[0]}
    if setting["tried"]:
        number = setting["validation"]
        tried = [at(a, validation_goals(number), number)["begun"] for a in setting["tried"]]
        found |= {"validation": torch.stack(tried)}
    plain = {"method": "maml", "alpha": 0.1, "every": 10, "reward": "distance"}
    if plain.items() <= setting.items():
        found |= _asked_of_maml(setting, theta)
    history = {k: step.optimizer[k] for k in ("returns", "accepted") if k in step.optimizer}
    return theta, found | history | {"scores": step.scores}


def _asked_of_maml(setting, theta) -> dict[str, Tensor]:
    """What only MAML's policies are asked, on the test goals.

    "same step", "a hundredth": returns where later steps are as large as the first, or a hundredth
    of it, (goals, updates + 1). "20 walks": returns with half as many walks. "new walks", "old
    walks": the return after a second step on walks of its own, or on the first step's again,
    (goals,). "stray": how far the distributions kept with the second step's walks are from those of
    the policy that drew them. "walks in 2,000 steps": how many the policy begins in them.
    """
    goals, walks, alpha = authors_goals(setting["goals"]), setting["walks"], setting["alpha"]

    def returns(later, walks):
        alphas = sampling(setting, alpha, UPDATES, later)
        return summary(walked(setting, theta, goals, alphas, walks, AT_TEST)[1], goals)["begun"]

    policy, one = own_policy(setting), sampling(setting, alpha, 1)
    batch = walked(setting, theta, goals, one, walks, AT_TEST)[0]
    loss = reinforce(policy)

    def second(support):
        """The return after two steps on the batches of `support`."""
        path = lambda pair: adapt(theta, repeated(loss, pair, 2), sampling(setting, alpha, 2))[-1]
        world, draws = own_world(setting), seeded(ON_REUSE)
        played = rollout(world, policy, vmap(path)(support), goals, lanes=walks, generator=draws)
        return mean_return(played, world.horizon)

    first = batch.support[0]
    now = vmap(
        lambda support, seen: policy.forward(
            stepping(setting, one)(1).adapt(theta, support)[-1], seen
        )
    )(batch.support, batch.query.observation)
    weight = batch.query.weight[..., None]
    stray = max(((a - b) * weight).abs().max() for a, b in zip(now, batch.query.old))
    few = min(20, walks)
    played = walked(setting, theta, goals, [], few, ON_COUNTS)[1][0]
    begun = played.first[..., : Navigation().horizon].flatten(1).sum(1)
    return {
        "same step": returns(1.0, walks),
        "a hundredth": returns(0.01, walks),
        "20 walks": returns(0.5, few),
        "new walks": second((first, batch.query)),
        "old walks": second((first, first)),
        "stray": torch.as_tensor(stray),
        "walks in 2,000 steps": begun.float(),
    }
