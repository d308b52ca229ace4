"""How many steps a second the robots of section 5.3 make on one core: `python -m
tests.benchmarks.locomotion`.

Processor time, of this process and its children, so that other work on the machine disturbs ratios
little. All contestants make the same frames (one step of MuJoCo) with the same random actions, in
turn, round after round; what is told is the median. Then the seconds of a whole meta-update of 2D
navigation at the paper's sizes, with the curvature of all samples and of some, beside those of
tristandeleu/pytorch-maml-rl, which are quoted: it needs gym 0.17 and NumPy 1. The result is printed
and written to runs/bench/locomotion.json. Nothing here is a test. `--navigation` or `--robots`
measures one part only.
"""

import json
import os
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

import gymnasium
import mujoco
import numpy as np
import psutil
import torch
from mujoco import rollout as mujoco_rollout

from mamlkit.bank.provenance import commit, describe, installed
from mamlkit.files import ROOT
from mamlkit.machine import seeded
from mamlkit.rl.gym import register
from mamlkit.rl.locomotion import Locomotion, ant_vel, half_cheetah_vel
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce
from mamlkit.rl.policy import gaussian
from mamlkit.rl.rollout import rollout
from mamlkit.rl.simulation import quiet
from mamlkit.rl.train import train_policy
from mamlkit.variants.maml import maml

TASKS, LANES, STEPS, FEW, ROUNDS = 40, 20, 20, 20, 3
DESCRIPTION = (
    f"one frame is one mj_step; {TASKS} tasks, {LANES} episodes of each, {STEPS} steps; Gymnasium's"
    f" own: {FEW} robots"
)
# processor seconds of pytorch-maml-rl, one worker, same net and sizes; measured in 2026 on another
# machine of two cores (18.4 to 18.9)
QUOTED = 18.7
CURVATURE = {1: "all samples", 5: "each 5th sample", 10: "each 10th sample"}


class Contestant(NamedTuple):
    """run() makes `steps` steps; children() are the processes that help this one with it; close()
    ends them."""

    run: Callable[[], None]
    steps: int
    children: Callable[[], list[int]] = list
    close: Callable[[], None] = lambda: None


def main(part: str = "") -> None:
    if part not in ("", "--navigation", "--robots"):
        raise SystemExit(f'"{part}" is unknown: --navigation, --robots, or nothing for both')
    torch.set_num_threads(1)
    register()
    warnings.simplefilter("ignore")
    rows, updates = [], []
    if part != "--robots":
        updates = navigation()
        write(rows, updates)
    for env, name, theirs in (
        (half_cheetah_vel(), "HalfCheetahVel", "HalfCheetah-v5"),
        (ant_vel(), "AntVel", "Ant-v5"),
    ):
        if part != "--navigation":
            with (
                quiet()
            ):  # Gymnasium's cheetah has a deprecated attribute, told once for each of its robots
                rows += measure(env, name, theirs)
            write(rows, updates)


def navigation() -> list[dict]:
    """Rows of a meta-update of 2D navigation, 20 tasks and 20 rollouts of 100 steps before and
    after the inner step."""
    world, policy, seconds = Navigation(), gaussian(2, 2), {}
    for every in CURVATURE:
        generator = seeded(0)
        updates = train_policy(
            world,
            policy,
            lambda k: maml(reinforce(policy), alpha=0.1, steps=k),
            policy.init(generator),
            generator=generator,
            tasks=20,
            rollouts=20,
            steps=1,
            iterations=ROUNDS + 1,
            every=every,
        )
        clock = [time.process_time()]
        for step in updates:
            print(
                f"[{time.strftime('%H:%M:%S')}] navigation, {CURVATURE[every]}: update"
                f" {step.iteration} of {ROUNDS + 1}",
                file=sys.stderr,
                flush=True,
            )
            clock.append(time.process_time())
        seconds[every] = [b - a for a, b in zip(clock[1:], clock[2:])]  # the first warms up
    return [
        {
            "contestant": f"mamlkit, curvature of {CURVATURE[every]}",
            "seconds": (middle := statistics.median(times)),
            "quoted_over": QUOTED / middle,
            "rounds_s": times,
        }
        for every, times in seconds.items()
    ]


def measure(env: Locomotion, name: str, theirs: str) -> list[dict]:
    """Rows of one robot: microseconds and steps a second of processor time, and ratios to mj_step
    alone."""
    contestants = {
        "mj_step alone": alone(env),
        "mujoco.rollout, lockstep": lockstep(env),
        "mamlkit: step": stepped(env),
        "mamlkit: whole rollout with policy": sampled(env, name),
        "mamlkit: gymnasium.make_vec, 800": vector(
            gymnasium.make_vec(f"mamlkit/{name}-v0", num_envs=TASKS * LANES), STEPS
        ),
    }
    for mode in ("sync", "async"):
        envs = gymnasium.make_vec(theirs, num_envs=FEW, vectorization_mode=mode, frame_skip=1)
        contestants[f"Gymnasium's {theirs}, {mode}, {FEW}"] = vector(envs, STEPS)
    micro = {key: [] for key in contestants}
    for i in range(ROUNDS + 1):
        print(
            f"[{time.strftime('%H:%M:%S')}] {name}: round {i} of {ROUNDS}",
            file=sys.stderr,
            flush=True,
        )
        for key, contestant in contestants.items():
            before = busy(contestant)
            contestant.run()
            micro[key].append((busy(contestant) - before) / contestant.steps * 1e6)
    for contestant in contestants.values():
        contestant.close()
    micro = {key: times[1:] for key, times in micro.items()}  # the first warms up
    floor = statistics.median(micro["mj_step alone"])
    return [
        {
            "robot": name,
            "contestant": key,
            "us_a_step": (middle := statistics.median(times)),
            "steps_a_second": 1e6 / middle,
            "over_mj_step": middle / floor,
            "rounds_us": times,
        }
        for key, times in micro.items()
    ]


def busy(contestant) -> float:
    """Seconds of processor time."""
    children = (psutil.Process(pid).cpu_times() for pid in contestant.children())
    return time.process_time() + sum(times.user + times.system for times in children)


def script(env, batch=TASKS * LANES):
    """Where episodes begin, and what the robots do."""
    generator = seeded(0)
    goals = env.sample_goals(generator, batch)
    return (
        env.reset(goals, generator),
        2 * torch.rand(STEPS, batch, env.actions, generator=generator) - 1,
        goals,
    )


def alone(env):
    """One robot after the other in MuJoCo's own loop: no observation, no reward."""
    state, actions, _ = script(env)
    qpos, qvel, actions = (t.double().numpy() for t in (*state.hidden, actions))
    model, data = env.robot.model, mujoco.MjData(env.robot.model)

    def run():
        for i in range(len(qpos)):
            data.qpos, data.qvel = qpos[i], qvel[i]
            for ctrl in actions[:, i]:
                data.ctrl = ctrl
                mujoco.mj_step(model, data)

    return Contestant(run, actions.shape[0] * actions.shape[1])


def lockstep(env):
    """All robots a step, then the next: what mujoco.rollout can do; it hands out places and
    velocities only."""
    state, actions, _ = script(env)
    begin = np.concatenate(
        [np.zeros((len(state.observation), 1)), *(t.numpy() for t in state.hidden)], 1
    )
    actions, pool, data = (
        actions.double().numpy(),
        mujoco_rollout.Rollout(nthread=0),
        [mujoco.MjData(env.robot.model)],
    )

    def run():
        place = begin
        for ctrl in actions:
            place = pool.rollout(env.robot.model, data, place, ctrl[:, None])[0][:, 0]

    return Contestant(run, actions.shape[0] * actions.shape[1])


def stepped(env):
    begin, actions, goals = script(env)

    def run():
        state = begin
        for action in actions:
            state, _, _ = env.step(state, action, goals)

    return Contestant(run, actions.shape[0] * actions.shape[1])


def sampled(env, name):
    """`rollout` with the paper's policy, another for each task: observations, draws, auto-reset and
    storage included."""
    env = Locomotion(env.name, env.task, horizon=STEPS)
    policy, generator = gaussian(env.observations, env.actions), seeded(0)
    params = {key: p.expand(TASKS, *p.shape).clone() for key, p in policy.init(generator).items()}
    goals = env.sample_goals(generator, TASKS)
    steps = rollout(env, policy, params, goals, lanes=LANES, generator=generator).reward.numel()
    return Contestant(
        lambda: rollout(env, policy, params, goals, lanes=LANES, generator=seeded(0)), steps
    )


def vector(envs, steps):
    """A vector environment of Gymnasium's, with random actions made beforehand."""
    envs.reset(seed=0)
    actions = (
        np.random.default_rng(0)
        .uniform(-1, 1, (steps, *envs.action_space.shape))
        .astype(np.float32)
    )

    def run():
        for action in actions:
            envs.step(action)

    return Contestant(
        run,
        steps * envs.num_envs,
        lambda: [child.pid for child in getattr(envs.unwrapped, "processes", [])],
        envs.close,
    )


def write(rows, updates) -> None:
    """Prints the tables and writes the record."""
    print(
        "\nprocessor seconds of a meta-update of 2D navigation, 20 tasks x 20 rollouts x 100"
        f" steps, twice; pytorch-maml-rl, all samples: {QUOTED} (quoted)"
    )
    for row in updates:
        print(
            f"{row['contestant']:56} {row['seconds']:9.2f} s, {row['quoted_over']:.1f} times as"
            " fast as quoted"
        )
    print(
        f"\n{DESCRIPTION}\nprocessor time, median of {ROUNDS}"
        f" rounds\n\n{'robot':16}{'contestant':40} us a step   steps/s   / mj_step"
    )
    for row in rows:
        print(
            f"{row['robot']:16}{row['contestant']:40} {row['us_a_step']:9.2f}"
            f" {row['steps_a_second']:9.0f} {row['over_mj_step']:11.2f}"
        )
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    record = {
        "workload": "locomotion",
        "description": DESCRIPTION,
        "date": date.today().isoformat(),
        "commit": commit(),
        "machine": (
            describe()
            | {
                "cpu": model.group(1) if model else "unknown",
                "cores": os.cpu_count(),
                "cores used": 1,
            }
        ),
        "versions": {name: installed(name) for name in ("mujoco", "gymnasium")},
        "rows": rows,
        "navigation": updates,
        "navigation_quoted_s": QUOTED,
    }
    path = ROOT / "runs" / "bench" / "locomotion.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(f"\nwritten to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
