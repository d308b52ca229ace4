# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · Forward, or backward?
#
# A simulated robot has two seconds a try. Nobody tells it what to do. It only learns, afterwards,
# how much each try was worth. In one task running forward pays, in the other running backward.
# Section 5.3 of Finn, Abbeel & Levine (2017) asks for parameters from which **one**
# policy-gradient step, on twenty tries, makes it run the right way.

# %% tags=["figure"]
from mamlkit.audit.locomotion_evidence import banked
from mamlkit.show.literate import figure, say
from mamlkit.show.plots import LOOKS, canvas

bank = banked()
HALF = "cheetah-direction-half"
ways = bank.results[HALF]["maml-0"].measured["ways"].float()  # (before and after, way, tries, time)
right = [int((ways[1, 0, :, -1] > 0).sum()), int((ways[1, 1, :, -1] < 0).sum())]
title = f"After one step {right[0]} of 20 tries run forward, {right[1]} of 20 backward, as it pays"
fig, axes = canvas(title, columns=2, height=3.2, sharey=True)
seconds = [t / 100 for t in range(0, 200, 2)]
for ax, before, after, pays in zip(axes, ways[0], ways[1], ("forward", "backward"), strict=True):
    for tries, method, width in ((before, "random", 0.9), (after, "maml", 1.1)):
        ax.plot(seconds, tries.T, color=LOOKS[method].color, linewidth=width, alpha=0.7)
    ax.axhline(0, color="#222222", linewidth=0.6)
    ax.set(xlabel="seconds", xlim=(0, 2), title=f"{pays} pays")
axes[0].set_ylabel("metres forward")
figure(
    fig,
    "Two panels with the way of twenty tries before (grey) and twenty after one step (blue). "
    "Before, tries go both ways. After, "
    f"{right[0]} of 20 end in front where forward pays and {right[1]} of 20 behind where backward.",
)

all_ways = [r.measured["ways"][1, ..., -1] for c, r in bank.results[HALF].items() if "maml" in c]
ahead = sum(int((w[0] > 0).sum()) for w in all_ways), sum(int((w[1] < 0).sum()) for w in all_ways)
step = [bank.average(HALF, "maml", k) for k in range(4)]
theirs = bank.results["cheetah-direction-half"]["maml-0"].setting
say(
    f"""
    *Grey: the twenty tries before the step, from which it learns. Blue: twenty tries after it.
    The first of three trainings, with half the authors' meta-batch ({theirs["tasks"]} tasks of
    {theirs["rollouts"]} tries, {theirs["iterations"]} updates); nothing was picked.*

    **It works**: over three trainings {ahead[0]} of 60 tries end in front where forward pays and
    {ahead[1]} of 60 behind where backward pays, and one step takes the return from {step[0]:.0f} to
    {step[1]:.0f}. **What surprised us**: it works nearly as well if only five numbers of the policy
    may adapt. The paper's appendix says that this fails."""
)

# %% [markdown]
# ## Turn it yourself
#
# Run this cell; nothing is trained. Choose what pays, then compare no step with one, and press
# play. The grey line is the way before the step, the blue one the way after it.

# %% tags=["widget"]
from mamlkit.knobs.locomotion import banked_starts, gait_knobs

gait_knobs(banked_starts())

# %% tags=["imports"]
import torch

from mamlkit.audit.claims import claim
from mamlkit.audit.locomotion_evidence import CONTEXT, over_trainings
from mamlkit.audit.locomotion_quoted import AUTHORS, MODELS, TABLE5, gain_of_theirs, millions
from mamlkit.bank.budget import budget
from mamlkit.bank.experiment import load
from mamlkit.rl.collect import collect
from mamlkit.rl.objectives import reinforce
from mamlkit.show.literate import progress, show
from mamlkit.show.plots import draw
from mamlkit.studies.locomotion import TRAININGS, repeats, steps
from mamlkit.studies.locomotion_measures import TRIES

# %% [markdown]
# ## The two robots, and what pays
#
# The half-cheetah has six motors and sees 20 numbers: its joints, their velocities, and where its
# centre of mass is. The ant has eight motors and sees 125. A policy is a normal distribution for
# each motor. Its mean is a network with two hidden layers of 100 ReLUs, its width a parameter that
# the state does not change. A try lasts 200 frames.
#
# There are two families of tasks. In *direction* the reward of a frame is the velocity along the
# track, or minus the velocity: two tasks in all. In *velocity* it is minus the distance between
# the velocity and a goal, which is drawn evenly from 0 to 2 m/s for the cheetah and from 0 to 3 m/s
# for the ant. Nothing that the robot sees tells it the goal. It has to find out from the rewards
# of its tries.
#
# The paper's sentence is not quite the reward, though. In the authors' code every motor also costs
# a little, and an ant that has not fallen gets a little. We use the code's rewards, because only
# then can our returns be compared with theirs.

# %% tags=["claim"]
claim("C115")

# %% [markdown]
# ## One step on twenty tries
#
# The inner step is Algorithm 3's. Play twenty tries. Fit a baseline to them, a linear function of
# what was seen and of time, so that a reward counts by how much it surprises. Then follow the
# policy gradient once:
#
# $$\theta' = \theta + \frac{\alpha}{n} \sum_{t} \nabla_\theta \log \pi_\theta(a_t | s_t) A_t ,$$
#
# where the sum runs over all $n$ frames and $A_t$ is the advantage. *All* parameters move, the
# width of the distribution too. The outer step plays twenty more tries with $\theta'$ and
# differentiates their value through the inner step. TRPO decides how far to go, so that the
# adapted policies change by a bounded KL divergence. This is the code that samples, and the loss:

# %%
show(collect, reinforce)

# %% [markdown]
# **What do you expect** of a start that has never been told whether to run forward or backward?
# It cannot know. Will its returns before the step rise during training as well?

# %% tags=["figure"]
cells = [r.measured["returns"] for c, r in sorted(bank.results[HALF].items()) if "maml" in c]
curves = torch.stack(cells)  # (trainings, updates, before and after)
last_five = curves[:, -5:].mean((0, 1)).tolist()
before, after_it = (f"{value:.0f}" for value in last_five)
title = f"{before} before the step all through training, {after_it} after it in the end"
fig, ax = canvas(title, height=3.0)
for method, k in (("random", 0), ("maml", 1)):
    x, mean = range(1, curves.shape[1] + 1), curves[..., k].mean(0)
    for one in curves[..., k]:
        ax.plot(x, one, color=LOOKS[method].color, linewidth=0.7, alpha=0.45)
    draw(ax, method, x, mean, marker="", label=("before", "after one step")[k])
ax.set(xlabel="meta-update", ylabel="mean return of a try", xlim=(0, 122))
figure(
    fig,
    "Returns in meta-training before and after the inner step. Before it they stay near "
    f"{last_five[0]:.0f} for all hundred updates, after it they rise to {last_five[1]:.0f}.",
)

# %% [markdown]
# *The cheetah's direction, half the authors' meta-batch, three trainings (thin) and their mean
# (bold). Each point is the mean of 400 tries on 20 tasks, half of them forward.*
#
# They do not rise, and they cannot: what is gained in one direction is lost in the other. All that
# training finds is a place from which the gradient of twenty tries points far.
#
# One practical point hides in "half of them forward". Ten tasks drawn one by one are five and five
# in a quarter of the meta-batches only. In unbalanced batches, running in the majority direction
# before adapting already pays, so training oscillates instead of learning to adapt. Our small
# batches are therefore spread evenly over the goals; the authors' forty tasks average it out.

# %% [markdown]
# ## Four starts: Figure 5
#
# What is a step from this start worth, next to a step from another? The paper compares four.
# **MAML** is trained for what one step makes of it. **Pretrained** is TRPO on all tasks at once,
# with a new goal for every try. **Random** is untrained. **Oracle** is TRPO with the goal among its
# inputs; it takes no step. Our pretrained start and our oracle play exactly as many frames as MAML
# does; the authors' baselines played 8 to 32 times fewer an iteration. Pretrained and random
# starts choose their step size on goals that are not the test's. Of directions there are only two,
# so that test tasks are training tasks, here and in the paper.
#
# **What do you expect:** how much of MAML's gain does an untrained network make by the same step?

# %% tags=["figure"]
ENVS = {"cheetah-direction": HALF, "cheetah-velocity": "cheetah-velocity-half"}
gains = {env: bank.gain(name) for env, name in ENVS.items()}
said = [f"{gains[env].value:.0f} ({env.split('-')[1]})" for env in ENVS]
fig, axes = canvas(f"One step from MAML's start gains {' and '.join(said)}", columns=2, height=3.6)
for ax, (env, name) in zip(axes, ENVS.items(), strict=True):
    for method, values in AUTHORS[env].items():
        look = LOOKS[method]
        ax.plot(
            range(4),
            values,
            color=look.color,
            marker="D",
            markerfacecolor="none",
            alpha=0.4,
            linewidth=0.8,
        )
        ours = bank.returns(name, method)
        band = (ours.mean(1).amin(0), ours.mean(1).amax(0)) if len(ours) > 1 else None
        line = draw(
            ax,
            method,
            range(4),
            ours.mean((0, 1)),
            interval=band,
            label="",
            markerfacecolor="none",
            linewidth=2.2,
        )
        line.set_label(look.label)
    ax.set(xticks=range(4), xlabel=f"gradient steps ({env.replace('-', ' ')})")
axes[0].set_ylabel("mean return of a try")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
figure(
    fig,
    "Two panels, returns against gradient steps for MAML, pretrained, random and oracle; "
    "the authors' numbers are pale diamonds. "
    + "; ".join(
        f"{env.replace('-', ' ')}: MAML goes from {bank.average(name, 'maml'):.0f} to "
        f"{bank.average(name, 'maml', 1):.0f} by one step"
        for env, name in ENVS.items()
    )
    + ".",
)

# %% tags=["fold"]
share = {env: bank.played(name) / millions(**MODELS[env]) for env, name in ENVS.items()}
random = {env: bank.gain(name, "random").value for env, name in ENVS.items()}
direction, velocity = ENVS
start = {m: bank.average(ENVS[velocity], m) for m in ("maml", "random")}
say(
    f"""
    *Bold with hollow marks: here, below the paper's budget ({share[direction]:.0%} of the
    authors' frames in direction, {share[velocity]:.0%} in velocity). The band spans trainings:
    three of each, one of the oracle. Pale diamonds: the authors' numbers.
    Tests are on 20 and 40 of the authors' goals, 20 tries before each step, later steps half as
    large.*

    In direction one step adds {gains[direction].value:.0f} from MAML's start and
    {random[direction]:.0f} from an untrained one: the gain is meta-learning (the authors':
    {gain_of_theirs(direction):.0f}). In velocity it adds {gains[velocity].value:.0f} from MAML's
    start and {random[velocity]:.0f} on average from untrained ones (the authors':
    {gain_of_theirs(velocity):.0f}): there MAML's lead is largely in place *before* the step, at
    {start["maml"]:.0f} against {start["random"]:.0f}, since every goal pays for running forward."""
)

# %% tags=["fold"]
whole = bank.largest(direction)
if whole != HALF:
    say(f"""
    **At the authors' own size**, {bank.size(whole).split(", TRPO")[0]}, one step gains
    {bank.gain(whole).value:.0f} in direction. Only MAML has been trained at it, so that what
    compares it with other starts stays at half the meta-batch.""")

# %% tags=["claim"]
claim("C107", "C108", "C109")

# %% [markdown]
# In direction the step that MAML was trained with does nearly all of the work. Steps two and three
# add little, for us and for the authors. The paper says that "two or three" suffice. We asked
# whether two reach nine tenths of the oracle's gain: in the authors' own returns they do, except in
# the cheetah's direction. The card has the four shares.

# %% tags=["claim"]
claim("C110")

# %% [markdown]
# The paper also says that pretraining can be *worse* than starting from nothing. In the authors'
# returns it is, for both robots' directions: a policy that was trained on forward and backward at
# once may have learned to hold still, and one step does not wake it.

# %% tags=["fold"]
one_step = {
    (env, m): bank.average(name, m, 1)
    for env, name in ENVS.items()
    for m in ("pretrained", "random")
}
say(
    f"""
    In our runs we cannot confirm it. After one step the cheetah's direction returns
    {one_step[direction, "pretrained"]:.0f} from the pretrained start and
    {one_step[direction, "random"]:.0f} from a random one, a difference that three trainings cannot
    tell from chance. In velocity pretraining is far ahead, {one_step[velocity, "pretrained"]:.0f}
    against {one_step[velocity, "random"]:.0f}."""
)

# %% tags=["claim"]
claim("C111", "C112")

# %% [markdown]
# An oracle that is told the goal ought to bound what adapting can reach. In the authors' returns it
# does, in all four environments. In ours it does for the cheetah. For the ant it does not: an
# untrained ant passes our oracle, which has played too little to learn to walk.

# %% tags=["claim"]
claim("C113")

# %% [markdown]
# ## The ants are not there yet
#
# The figure above leaves out two of the paper's four panels. We have trained ants, for minutes on
# one core instead of days on many. The numbers are in the card below, and they say one thing: our
# ants gain no more by a step than ants that were never trained. Drawing them beside the authors'
# returns would suggest that something had been tested. Nothing has.

# %% tags=["claim"]
claim("X012")

# %% [markdown]
# One of the paper's remarks about the ant can be tested without any training. Its episodes end
# where it falls, and in *velocity* every frame costs something, so that falling early would pay. A
# bonus of 1 a frame is to prevent that. It is enough to make falling pay less, and on an untrained
# ant it is not enough to make lasting pay.

# %% tags=["claim"]
claim("C138")

# %% [markdown]
# ## What the bands rest on
#
# The paper's bands are 68 % intervals over forty goals, for one training of each method. For
# directions there are no forty goals. There are two, and the forty values of the authors'
# pretrained and random starts are two values, each twenty times over (their result files). **What
# do you expect** of another training with another seed: does it fall inside such a band?

# %% tags=["figure"]
after = {env: bank.returns(name, "maml", 1) for env, name in ENVS.items()}
half = lambda i: (i.high - i.low) / 2
over_goals = {env: half(over_trainings(r[:1])) for env, r in after.items()}
over_seeds = {env: half(over_trainings(r)) for env, r in after.items()}
wider = {env: over_seeds[env] / over_goals[env] for env in ENVS}
fig, axes = canvas(
    f"In direction the interval over trainings is {wider[direction]:.1f} times that over goals",
    columns=2,
    height=2.6,
)
for ax, (env, r) in zip(axes, after.items(), strict=True):
    means, color = r.mean(1), LOOKS["maml"].color
    ax.errorbar(
        means,
        range(3),
        xerr=[half(over_trainings(one[None])) for one in r],
        fmt="o",
        color=color,
        markerfacecolor="none",
        capsize=3,
    )
    ax.errorbar(
        [means.mean()],
        [3],
        xerr=[over_seeds[env]],
        fmt="s",
        color="#222222",
        markerfacecolor="none",
        capsize=3,
    )
    ax.set(
        yticks=range(4),
        yticklabels=["training 0", "1", "2", "all three"],
        ylim=(-0.5, 3.5),
        xlabel=f"return after one step ({env.split('-')[1]})",
    )
figure(
    fig,
    "The return after one step of three trainings, each with its interval over goals, and "
    "the mean of the three with its interval over trainings. In direction the latter is "
    f"{wider[direction]:.1f} times as wide as the first training's interval over goals.",
)

# %% tags=["fold"]
span = {env: [f"{v:.0f}" for v in r.mean(1)] for env, r in after.items()}
say(
    f"""
    *95 % intervals, by Student's t. Blue: one training, over its 20 or 40 test goals, as the
    paper draws them. Black: the mean of three trainings, over trainings.*

    In direction the three trainings return {", ".join(span[direction])}: an interval over goals
    of ±{over_goals[direction]:.0f} says nothing about the ±{over_seeds[direction]:.0f} that
    another seed brings. In velocity, where goals really differ, the two are of one size
    (±{over_goals[velocity]:.0f} and ±{over_seeds[velocity]:.0f})."""
)

# %% [markdown]
# ## Five numbers, and nothing else
#
# Appendix C.2 lets five numbers adapt, which the network reads beside what it sees, and keeps all
# other parameters as meta-training left them. It found that enough for a point that walks to a
# goal ([chapter 4](04_navigation.ipynb)) and *not* enough for a robot's direction. Yet one number
# would do to tell two directions apart. **What do you expect:** is it found?

# %% tags=["figure"]
five = [bank.average(CONTEXT, "context", k) for k in range(4)]
fig, ax = canvas(
    f"Five numbers gain {bank.gain(CONTEXT, 'context').value:.0f} by one step, all parameters "
    f"{gains[direction].value:.0f}",
    height=3.0,
)
hollow = dict(label="", markerfacecolor="none", linewidth=2.2)
for name, method, label in (
    (HALF, "maml", "all parameters"),
    (CONTEXT, "context", "five numbers"),
):
    r = bank.returns(name, method)
    band = r.mean(1).amin(0), r.mean(1).amax(0)
    draw(ax, method, range(4), r.mean((0, 1)), interval=band, **hollow).set_label(label)
quoted = dict(color=LOOKS["context"].color, markerfacecolor="none", label="five numbers, authors")
ax.plot(range(4), TABLE5, "D", **quoted)
ax.legend(frameon=False, fontsize=9, loc="upper left")
ax.set(
    xlabel="gradient steps (cheetah direction)",
    ylabel="mean return of a try",
    xticks=range(4),
    xlim=(-0.1, 3.1),
    ylim=(-100, 340),
)
figure(
    fig,
    "Returns against gradient steps where five numbers adapt and where all parameters do; "
    f"both rise, from {five[0]:.0f} to {five[1]:.0f} and from {step[0]:.0f} to {step[1]:.0f}. "
    f"The authors' five numbers stay near {TABLE5[0]:.0f}.",
)

# %% [markdown]
# *Three trainings of each at half the authors' meta-batch; the band spans them. Diamonds: the
# authors' Table 5. The step on the five numbers is ten times as large (ours).*
#
# It is found, and almost as well as with all parameters. We do not know what kept the authors' five
# numbers from it; the paper only supposes. The size of the step may be a part: the gradient on five
# numbers is small, so that they want a larger step than a whole network does. CAVIA (Zintgraf et
# al. 2019) was built on the same idea and reports that it works.

# %% tags=["claim"]
claim("C141", "C142")

# %% [markdown]
# ## How little experience?
#
# Section 3.2 promises a policy for a new task from "only a small amount of experience", and one
# source of ours says "a handful of episodes". So we count twice. How much of the step is left if
# it is taken on fewer tries? And how many tries does plain TRPO need, from random parameters and
# with nothing but the one task, to come where MAML is after its step on twenty?

# %% tags=["figure"]
largest = bank.largest(direction)
cells = [r for c, r in sorted(bank.results[largest].items()) if "maml" in c]
rows = [r.measured["gain by tries"] for r in cells]
by_tries = torch.stack(rows)
share_of_five = (by_tries[:, 2].mean() / by_tries[:, -1].mean()).item()
played = 20 * (bank.scratch["forward"].shape[1] - 1)
title = f"Five tries give {share_of_five:.0%} of the gain; TRPO alone is not there after {played}"
fig, (left, right_ax) = canvas(title, columns=2, height=3.0)
for row in by_tries:
    left.plot(TRIES, row, color=LOOKS["maml"].color, linewidth=0.7, alpha=0.45)
hollow = {} if largest == direction else dict(markerfacecolor="none")
draw(left, "maml", TRIES, by_tries.mean(0), label="", **hollow)
left.axhline(0, color="#222222", linewidth=0.6)
left.set(
    xscale="log",
    xticks=TRIES,
    xticklabels=TRIES,
    xlabel="tries in the step",
    ylabel="gain of one step",
)
left.minorticks_off()
for way, style in (("forward", "-"), ("backward", "--")):
    r = bank.scratch[way]
    x = [20 * i for i in range(r.shape[1])]
    draw(right_ax, "random", x, r.mean(0), marker="", linestyle=style, label=way)
goals, reached = cells[0].measured["goals"][:, 0], bank.found(largest, "maml", 1)
wanted = [reached[:, goals == g].mean().item() for g in (1.0, -1.0)]
for value, style in zip(wanted, ("-", "--"), strict=True):
    right_ax.axhline(value, color=LOOKS["maml"].color, linestyle=style, linewidth=1)
    right_ax.annotate("MAML's step on 20", (635, value), va="bottom", ha="right", fontsize=8.5)
right_ax.set(xlabel="tries, from random parameters", ylabel="mean return", xlim=(0, 640))
figure(
    fig,
    "Left: the gain of one step against the tries that it is taken on. Right: the return of "
    "TRPO from random parameters against tries, with MAML's return after one step on twenty "
    f"tries as a line. Five tries give {share_of_five:.0%} of the gain of twenty; TRPO stays "
    "below both lines.",
)

# %% tags=["fold"]
paid = 5 * bank.played(largest)
say(
    f"""
    *Three trainings of MAML at {bank.played(largest) / millions(**MODELS[direction]):.0%} of the
    authors' frames; three runs of TRPO for each direction, 20 tries an update. Blue lines: MAML's
    return after its step on twenty tries.*

    On five tries the step is worth {share_of_five:.0%} of what it is on twenty, and on a single try
    {by_tries[:, 0].mean() / by_tries[:, -1].mean():.0%}: the baseline that is fitted to one try
    explains nearly all of it. TRPO alone does
    not come near in {played} tries, {played // 20} times as many. The bill has been paid before, in
    meta-training: {paid:.0f} thousand tries."""
)

# %% tags=["claim"]
claim("C120", "S213")

# %% [markdown]
# ## What two cores can do
#
# The budgets here are ours: minutes for ten tasks a batch, dozens of minutes for twenty. Each of
# the four questions was written down before it was run. Ten tasks are too few: in both families the
# step gains something in every training, and not more than three trainings can tell from chance.
# Twenty tasks of twenty tries are enough in both.

# %% tags=["claim"]
claim("X010", "X011", "X013", "X014")

# %% [markdown]
# ## Run it yourself
#
# The loop below is the beginning of the cheetah's smallest banked training, ten tasks of ten tries,
# with the same seed. On the machine that made the bank every return comes out to the last digit. On
# another one it does not, and for a reason worth knowing: contacts with the ground multiply
# rounding, so that a change in the last digit of the parameters moves a return by some percent
# within two seconds. What must agree everywhere is the first update on episodes of twenty frames,
# where rounding has had no time to grow, and the mean return over the whole run within a band.

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # of the first network and of everything drawn; 0 or more
alpha: float = 0.1  # the inner step size; above 0

# %%
torch.set_num_threads(1)  # sums in another order are another training
training = TRAININGS["cheetah-direction-cpu"]
setting = training.cells("paper", 1)["maml-0"] | {"seed": seed, "alpha": alpha}
updates = budget(profile, smoke=2, quick=20, paper=60)
for now in progress(steps(setting, None, updates), updates, "meta-training"):
    returns = now.optimizer["returns"]
say(repeats(training, now.losses, setting))

# %% tags=["figure"]
kept = torch.stack(
    [r.measured["returns"] for c, r in sorted(load(training).items()) if "maml" in c]
)
fig, ax = canvas(
    f"Your {updates} updates: on average {returns[:, 0].mean():.1f} before the step, "
    f"{returns[:, 1].mean():.1f} after it",
    height=2.8,
)
x = range(1, kept.shape[1] + 1)
for one in kept[1:, :, 1]:
    ax.plot(x, one, color=LOOKS["maml"].color, linewidth=0.6, alpha=0.3)
draw(ax, "maml", x, kept[0, :, 1], marker="", linewidth=1.4, label="banked, seed 0")
ax.plot(x[:updates], returns[:, 1], color=LOOKS["maml"].color, linewidth=6, alpha=0.3)
ax.set(xlabel="meta-update", ylabel="mean return after the step", xlim=(0, 75))
figure(
    fig,
    f"The return after the step in your run, a pale line of {updates} updates, over the "
    "banked training of seed 0 and those of two other seeds.",
)

# %% [markdown]
# *Pale and wide: your run. Blue: the banked trainings with 10 tasks of 10 tries, 60 updates, seed 0
# in bold.*
#
# Three things to try, and what should happen:
#
# - `alpha = 0.02`: one step hardly moves the robot. The two returns of the title stay close.
# - `seed = 1`: another first network. At this size the seed decides more than the training does.
# - `alpha = 0.5`: a larger step serves an *untrained* start better, so that the first updates gain
#   more. That is why the baselines of Figure 5 may choose their own: the random starts all chose a
#   larger one than MAML's.
#
# Headless: `python -m mamlkit run 05_locomotion -p alpha=0.02`. The authors' size:
# `python -m mamlkit bank --only cheetah-direction`.
#
# [Before: navigation](04_navigation.ipynb) · [next: what came after](06_variants.ipynb) ·
# [what is true](07_scoreboard.ipynb) · [counted and quoted: the fine print](09_fine_print.ipynb)
