"""The judges of section 5.3's locomotion: Figure 5, the context vector, and our questions."""

import torch
from torch import Tensor

from mamlkit.audit import locomotion_facts, locomotion_quoted
from mamlkit.audit.intervals import Interval, holm, over_seeds
from mamlkit.audit.judging import Finding
from mamlkit.audit.locomotion_evidence import CONTEXT, Evidence, evidence
from mamlkit.audit.locomotion_quoted import (
    AUTHORS,
    ORDER,
    below,
    gain_of_theirs,
    needed,
    words,
)
from mamlkit.audit.welch import difference, lower
from mamlkit.studies.locomotion import SCRATCH
from mamlkit.studies.locomotion_measures import TRIES

__all__ = ["JUDGES", "evidence"]

FEW, MANY = 5, 20  # tries that S213 compares
SCRATCH_EPISODES = 20  # an update of learning from scratch
OTHERS = ("pretrained", "random")  # the starts that MAML is compared with
WAYS = {"forward": 1.0, "backward": -1.0}


def above(interval: Interval) -> bool:
    """Is the whole interval above 0? One that is not known is not."""
    return interval.low > 0


def listed(values: dict[str, float]) -> str:
    return ", ".join(f"{words(env)} {v:+.1f}" for env, v in values.items())


def three(e: Evidence, name: str) -> bool:
    return len(e.seeds(name)) >= 3


def full(e: Evidence) -> dict[str, bool]:
    """The check of the budget: is every environment there at the authors' size?"""
    judged = e.judged()
    return {"the authors' experience": all(judged.get(env) == env for env in ORDER)}


def share(e: Evidence, *envs: str) -> float:
    """The smallest part of the authors' environment steps in training, of these environments or of
    all; at most 1."""
    judged = e.judged()
    part = lambda env: e.played(judged[env]) / needed(env) if env in judged else 0.0
    return min([1.0, *map(part, envs or ORDER)])


def experience(e: Evidence) -> str:
    """The same of each environment, in words."""
    part = lambda env: "all" if share(e, env) == 1 else f"{100 * share(e, env):.2g} %"
    parts = ", ".join(f"{part(env)} ({words(env)})" for env in e.judged())
    return f"Of the authors' experience the trainings had {parts}."


def judge_one_step(e: Evidence) -> Finding | None:
    """C107: "can quickly adapt its velocity and direction with even just a single gradient
    update"."""
    judged = e.judged()
    if not judged:
        return None
    gains = {env: e.gain(name) for env, name in judged.items()}
    enough = [env in gains and gains[env].value >= 0.75 * gain_of_theirs(env) for env in ORDER]
    theirs = listed({env: gain_of_theirs(env) for env in judged})
    parts = ", ".join(f"{i.value / gain_of_theirs(env):.0%}" for env, i in gains.items())
    return Finding(
        {words(env): env in judged and three(e, judged[env]) and above(gains[env]) for env in ORDER}
        | {"the authors' size": all(enough)}
        | full(e),
        {f"gain of one step, {words(env)}": i for env, i in gains.items()},
        f"one step gains {listed({env: i.value for env, i in gains.items()})}, the authors' "
        f"{theirs}: {parts} of theirs, where 75 % are asked for. {experience(e)}",
        e.protocol(),
        e.cheetah_seeds(),
        tuple(judged.values()),
        share(e),
    )


def judge_more_steps(e: Evidence) -> Finding | None:
    """C108: "and continues to improve with more gradient steps"."""
    judged = e.judged()
    if not judged:
        return None
    later = {env: e.gain(name, step=3, start=1) for env, name in judged.items()}
    return Finding(
        {words(env): env in judged and three(e, judged[env]) and above(later[env]) for env in ORDER}
        | full(e),
        {f"three steps minus one, {words(env)}": i for env, i in later.items()},
        f"steps two and three add {listed({env: i.value for env, i in later.items()})}. "
        + experience(e),
        e.protocol(),
        e.cheetah_seeds(),
        tuple(judged.values()),
        share(e),
    )


def judge_outperforms(e: Evidence) -> Finding | None:
    """C109: "substantially outperforms random initialization and pretraining"."""
    e = e.beside(*OTHERS)
    judged = e.judged()
    lead = {
        (env, m, k): difference(*(e.found(judged[env], who, k).mean(1) for who in ("maml", m)))
        for env in judged
        for m in OTHERS
        for k in (1, 2, 3)
    }
    if not lead:
        return None
    wins = {
        env: env in judged
        and three(e, judged[env])
        and all(above(i) for (where, _, _), i in lead.items() if where == env)
        for env in ORDER
    }
    return Finding(
        {words(env): won for env, won in wins.items()} | full(e),
        {f"MAML minus {m}, step {k}, {words(env)}": i for (env, m, k), i in lead.items()},
        "after one step MAML is above pretrained and random by "
        + "; ".join(
            f"{words(env)} " + ", ".join(f"{lead[env, m, 1].value:+.0f}" for m in OTHERS)
            for env in judged
        )
        + f". {experience(e)}",
        e.protocol(),
        e.cheetah_seeds(),
        tuple(judged.values()),
        share(e),
    )


def judge_worse_than_random(e: Evidence) -> Finding | None:
    """C111: "pretraining is in some cases worse than random initialization"."""
    e = e.beside(*OTHERS)
    judged = e.judged()
    if not judged:
        return None
    lead = {
        env: e.average(name, "pretrained", 1) - e.average(name, "random", 1)
        for env, name in judged.items()
    }
    chance = {env: worse_at_all_steps(e, name) for env, name in judged.items()}
    tested = {env: p for env, p in chance.items() if p == p}
    corrected = dict(zip(tested, holm([*tested.values()]), strict=True))
    worse = [env for env, p in corrected.items() if p < 0.05]
    quoted = [words(env) for env, a in AUTHORS.items() if below(a)]
    found = "here " + (
        f"in {' and '.join(map(words, worse)) or f'none of {len(tested)}'}"
        if tested
        else "no environment has three seeds of both yet"
    )
    return Finding(
        {"as quoted": bool(quoted), "here": bool(worse)} | full(e),
        {f"pretrained minus random after one step, {words(env)}": v for env, v in lead.items()}
        | {f"corrected p, {words(env)}": p for env, p in corrected.items()}
        | {"as quoted": ", ".join(quoted)},
        f"below random at steps 1 to 3: as quoted in {' and '.join(quoted)}; {found}. "
        + experience(e),
        e.protocol(),
        e.cheetah_seeds(),
        tuple(judged.values()),
        share(e),
    )


def worse_at_all_steps(e: Evidence, name: str) -> float:
    """The p-value that the pretrained start is below the random one at each of steps 1 to 3: the
    largest of the three."""
    found = [
        lower(*(e.found(name, m, k).mean(1) for m in ("pretrained", "random"))) for k in (1, 2, 3)
    ]
    return max(found) if all(p == p for p in found) else float("nan")


def judge_context(e: Evidence) -> Finding | None:
    """C141: "the context vector was sub-par on more difficult problems: cheetah direction"."""
    if not e.complete(CONTEXT, "context") or e.largest("cheetah-direction") is None:
        return None
    gains = {k: e.gain(CONTEXT, "context", k) for k in (1, 2, 3)}
    whole = e.gain("cheetah-direction-half")
    return Finding(
        {"no gain": all(i.low <= 0 for i in gains.values()), "MAML gains": above(whole)},
        {f"gain of {k} step{'s' * (k > 1)}, context": i for k, i in gains.items()}
        | {"gain of 1 step, all parameters": whole},
        f"one step on five numbers gains {gains[1]}, three {gains[3]}; one on all parameters "
        f"{whole}. What is claimed is a failure, and more training does not undo a gain.",
        e.size(CONTEXT) + "; a context of 5, a step of 1 on it alone",
        e.seeds(CONTEXT),
        (CONTEXT, "cheetah-direction-half"),
        min(1.0, e.played(CONTEXT) / needed("cheetah-direction")),
    )


def episodes_until(returned: Tensor, wanted: float) -> float:
    """After how many episodes the return first reaches what is wanted; infinitely many where it
    never does. returned: (updates,)."""
    reached = (returned >= wanted).nonzero().flatten()
    return SCRATCH_EPISODES * int(reached[0]) if len(reached) else float("inf")


def judge_small_experience(e: Evidence) -> Finding | None:
    """C120: "using only a small amount of experience"."""
    name = e.largest("cheetah-direction")
    if name is None or len(e.scratch) < 2:
        return None
    there = next(r for c, r in sorted(e.results[name].items()) if c.startswith("maml"))
    goals, after = there.measured["goals"][:, 0], e.found(name, "maml", 1)
    wanted = {way: after[:, goals == g].mean(1).mean().item() for way, g in WAYS.items()}
    needed = {
        way: sorted(episodes_until(row, value) for row in e.scratch[way])
        for way, value in wanted.items()
    }
    usual = {way: values[len(values) // 2] for way, values in needed.items()}
    updates = e.scratch["forward"].shape[1]
    said = lambda n: f"{n:.0f}" if n < float("inf") else f"over {SCRATCH_EPISODES * (updates - 1)}"
    thousands = e.played(name) * 5
    return Finding(
        {"ten times fewer": min(usual.values()) >= 200}
        | {"the authors' experience": name == "cheetah-direction"},
        {f"return after MAML's step, {way}": value for way, value in wanted.items()}
        | {f"episodes from scratch, {way}": ", ".join(map(said, needed[way])) for way in wanted}
        | {"episodes in meta-training, thousands": thousands},
        "TRPO from random parameters needs "
        + " and ".join(f"{said(usual[way])} episodes where {way} pays" for way in wanted)
        + f" (MAML's step: 20, after {thousands:.0f} thousand in meta-training).",
        f"{e.size(name)}; from scratch {updates} updates of {SCRATCH_EPISODES} episodes",
        e.seeds(name),
        (name, SCRATCH.name),
        share(e, "cheetah-direction"),
    )


def judge_handful(e: Evidence) -> Finding | None:
    """S213: "adapt to new MuJoCo tasks within a handful of episodes"."""
    name = e.largest("cheetah-direction")
    cells = sorted(e.results[name].items()) if name else []
    rows = [r.measured.get("gain by tries") for c, r in cells if c.startswith("maml")]
    kept = [row for row in rows if row is not None]
    if name is None or not rows or len(kept) < len(rows):
        return None
    mean = dict(zip(TRIES, torch.stack(kept).double().mean(0).tolist(), strict=True))
    part = mean[FEW] / mean[MANY] if mean[MANY] > 0 else float("nan")  # of no gain no share
    few, many = (torch.stack(kept).double()[:, TRIES.index(k)] for k in (FEW, MANY))
    gained = over_seeds(few)
    return Finding(
        {"a handful": part >= 0.8, "it adapts": above(gained)}
        | {"the authors' experience": name == "cheetah-direction"},
        {f"gain of one step on {k} episode{'s' * (k > 1)}": v for k, v in mean.items()}
        | {f"gain on {FEW}, over seeds": gained, f"{FEW} of {MANY}": part}
        | {f"{FEW} of {MANY}, by seed": ", ".join(f"{x:.0%}" for x in few / many)},
        f"one step on {FEW} episodes gains {gained}, {part:.0%} of what it gains on {MANY}; the "
        "paper's own tests take 20 to 40.",
        f"{e.size(name)}, of which twenty here",
        e.seeds(name),
        (name,),
        share(e, "cheetah-direction"),
    )


def judge_two_cores(name: str):
    """X010, X011, X013, X014: how far does a cheetah get on one core?"""

    def judge(e: Evidence) -> Finding | None:
        if not e.complete(name):
            return None
        found, after = e.gain(name), e.found(name, "maml")
        means = after.mean((0, 1)).tolist()
        each = (after[..., 1] - after[..., 0]).mean(1).tolist()
        return Finding(
            {"it gains": above(found)},
            {
                f"gain of one step, {' '.join(name.split('-')[:2])}": found,
                "return after 0, 1, 2, 3 steps": ", ".join(f"{v:.1f}" for v in means),
                "gain of each training": ", ".join(f"{v:.1f}" for v in each),
            },
            f"one step takes the return from {means[0]:.1f} to {means[1]:.1f}, a gain of {found} "
            f"over {'trainings' if len(after) > 1 else 'goals, of one training'}.",
            e.size(name),
            e.seeds(name),
            (name,),
            min(1.0, e.played(name) / needed(name.rpartition("-")[0])),
            f"one step gains {found.value:.0f}" + ("" if above(found) else ", not significantly"),
        )

    return judge


def judge_ants(e: Evidence) -> Finding | None:
    """X012: does the ant adapt at all in some minutes of one core?"""
    names = {env: f"{env}-cpu" for env in ("ant-direction", "ant-velocity")}
    if not all(e.complete(name) and e.complete(name, "random") for name in names.values()):
        return None
    gains = {env: e.gain(name) for env, name in names.items()}
    start = {env: e.gain(name, "random") for env, name in names.items()}
    more = {env: e.gain_over(name, "random") for env, name in names.items()}
    oracle = {
        f"oracle, {words(env)}": e.average(name, "oracle")
        for env, name in names.items()
        if e.returns(name, "oracle") is not None
    }
    return Finding(
        {env.split("-")[1]: above(i) for env, i in gains.items()}
        | {f"{env.split('-')[1]}, more than untrained": above(i) for env, i in more.items()},
        {f"gain of one step, {words(env)}": i for env, i in gains.items()}
        | {f"gain of one step from an untrained start, {words(env)}": i for env, i in start.items()}
        | oracle,
        "one step gains "
        + ", ".join(
            f"{i} ({words(env)}; an untrained start {start[env].value:+.1f})"
            for env, i in gains.items()
        )
        + "; the intervals are over goals, not trainings.",
        "; ".join(e.size(name) for name in names.values()),
        (0,),
        tuple(names.values()),
        min(e.played(name) / needed(env) for env, name in names.items()),
        "no more than an untrained ant"
        if not all(map(above, more.values()))
        else "more than an untrained ant",
    )


JUDGES = {
    "C107": judge_one_step,
    "C108": judge_more_steps,
    "C109": judge_outperforms,
    "C111": judge_worse_than_random,
    "C120": judge_small_experience,
    "C141": judge_context,
    "S213": judge_handful,
    "X010": judge_two_cores("cheetah-direction-cpu"),
    "X011": judge_two_cores("cheetah-velocity-cpu"),
    "X012": judge_ants,
    "X013": judge_two_cores("cheetah-direction-half"),
    "X014": judge_two_cores("cheetah-velocity-half"),
    **locomotion_quoted.JUDGES,
    **locomotion_facts.JUDGES,
}
