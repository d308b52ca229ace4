"""RL^2: a recurrent policy that learns a task by remembering it, where MAML takes gradient
steps."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mamlkit.boundary import wholes, within
from mamlkit.learner import unrolled
from mamlkit.nets import he, xavier
from mamlkit.rl.baseline import advantages, linear_baseline, standardised
from mamlkit.rl.env import Env
from mamlkit.rl.objectives import Experience, reinforce
from mamlkit.rl.policy import Policy, gaussian
from mamlkit.rl.rollout import Trajectories
from mamlkit.rl.trpo import Outcome, trpo_step
from mamlkit.sequence import apply_dense, gru_states, gru_step
from mamlkit.task import Task
from mamlkit.trees import Params, tree_map

# the bias that the gate which keeps the memory starts with: seven eighths of it stay at a step
KEEP = 2.0


class RL2(NamedTuple):
    """policy: `init` makes the parameters; `forward` takes whole trials, (trials, time, inputs),
    and begins each with an empty memory. play: (params, goals (trials, ...), generator) ->
    Trajectories (trials, time, ...), a trial in each lane, its observations what the memory was
    fed. update: (params, what they played) -> (new params, what the step did)."""

    policy: Policy
    play: Callable[[Params, Tensor, Generator], Trajectories]
    update: Callable[[Params, Trajectories], tuple[Params, Outcome]]


def rl2(
    env: Env,
    *,
    episodes: int,
    units: int = 64,
    discount: float = 0.99,
    gae: float = 0.9,
    **settings,
) -> RL2:
    """A policy with a memory, trained for what it earns in the `episodes` of a trial together,
    which have one goal.

    Its inputs are the observation, the action before, the reward which that brought, and whether an
    episode ended with it. The memory, `units` numbers of a gated recurrent unit (Cho et al. 2014),
    is empty when a trial begins and goes on when an episode ends: a new task is learned by what it
    comes to hold, without a gradient. The update is TRPO's, as MAML's is; settings: those of
    `trpo_step`. discount, gae: of `advantages`, over the whole trial. Raises ValueError for fewer
    than 1 episode or unit. Source: Duan et al. 2016, "RL^2".
    """
    wholes(episodes=episodes, units=units)
    for name, value in {"discount": discount, "gae": gae}.items():
        within(name, value, 0, 1)
    inputs, head = env.observations + env.actions + 2, gaussian(units, env.actions, hidden=())

    def init(generator):
        # A step moves place and reward by a few hundredths: inputs that weigh little (Xavier's, a
        # sixth of He's), and a memory that halves with every step, left training at a standstill.
        weights = {
            "input.weight": he(generator, (3 * units, inputs)),
            "state.weight": xavier(generator, (3 * units, units)),
        }
        still = weights["input.weight"].new_zeros(3 * units)
        keeping = still.index_fill(0, torch.arange(units, 2 * units, device=still.device), KEEP)
        return weights | {"input.bias": keeping, "state.bias": still} | head.init(generator)

    def forward(params, seen):
        held = gru_states(params, seen).flatten(0, 1)
        return tree_map(lambda t: t.unflatten(0, seen.shape[:2]), head.forward(params, held))

    policy = head._replace(init=init, forward=forward)

    @torch.no_grad()
    def play(params, goals, generator):
        state, steps, memory = env.reset(goals, generator), [], goals.new_zeros(len(goals), units)
        before, count = (
            goals.new_zeros(len(goals), env.actions + 2),
            torch.zeros(len(goals), dtype=torch.int64, device=goals.device),
        )
        age, done_with = count, count  # steps in this episode, episodes in this trial
        while (done_with < episodes).any():
            seen = torch.cat([state.observation, before], -1)
            memory = gru_step(params, apply_dense(params, "input", seen), memory)
            dist = head.forward(params, memory)
            action = policy.draw(dist, generator)
            state, reward, done = env.step(state, action, goals)
            broken = ~(torch.isfinite(reward) & torch.isfinite(state.observation).all(-1))
            reward, age, counts = torch.where(broken, 0, reward), age + 1, done_with < episodes
            last = done | broken | (age == env.horizon)
            steps.append(
                Trajectories(seen, action, dist, reward, age == 1, last, broken & counts, counts)
            )
            before = torch.cat([action, reward[:, None], last[:, None].to(reward.dtype)], -1)
            if len(over := last.nonzero().flatten()):
                state = tree_map(
                    lambda old, new: old.index_copy(0, over, new),
                    state,
                    env.reset(goals[over], generator),
                )
            age, done_with = age.masked_fill(last, 0), done_with + last
        played = tree_map(lambda *along: torch.stack(along, 1), *steps)
        return played._replace(
            valid=played.valid & ~played.broken.any(1, keepdim=True)
        )  # an episode pays for those before it

    def update(params, played):
        learner = unrolled(reinforce(policy), lambda theta, support: [theta])
        return trpo_step(
            learner, policy, params, Task((), experience(played, discount, gae)), **settings
        )

    return RL2(policy, play, update)


def experience(played: Trajectories, discount: float, gae: float) -> Experience:
    """All trials as one task, (1, trials, time, ...), the advantages those of what is still to come
    in the whole trial."""
    number = torch.arange(played.reward.shape[1], device=played.reward.device).expand_as(
        played.reward
    )
    over = number == torch.where(played.valid, number, 0).amax(
        1, keepdim=True
    )  # the trial's last step, not an episode's
    told = played._replace(observation=torch.cat([played.observation, number[..., None] / 100], -1))
    values = linear_baseline(
        told, advantages(played.reward, torch.zeros_like(played.reward), over, discount=discount)
    )
    advantage = standardised(
        advantages(played.reward, values, over, discount=discount, gae=gae), played.valid
    )
    return tree_map(
        lambda t: t[None],
        Experience(
            played.observation,
            played.action,
            advantage,
            played.old,
            played.valid.to(advantage.dtype),
        ),
    )
