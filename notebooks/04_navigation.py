# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · A robot that finds the corner after twenty walks
#
# A point stands in the middle of a square. Somewhere in the square is a goal, and nobody tells it
# where. It walks twenty times at random, is told after every step how far off it was, and takes
# **one** gradient step. Section 5.3 of Finn, Abbeel & Levine (2017) claims that a policy can be
# meta-trained so that this one step is enough to turn all its walks towards the goal.

# %% tags=["figure"]
import torch

from mamlkit.audit.navigation import evidence
from mamlkit.knobs.navigation import paths
from mamlkit.rl.navigation import authors_goals
from mamlkit.rl.rollout import mean_return
from mamlkit.show.literate import figure, say
from mamlkit.show.plots import LOOKS, canvas
from mamlkit.studies.navigation_walks import sampling, walked

e = evidence()
one, goals = e.settings["maml"], authors_goals(40)
CORNERS = ((1, 1), (-1, 1), (-1, -1), (1, -1))
corners = torch.stack([goals[(goals * torch.tensor(c)).amin(1).argmax()] for c in CORNERS])
played = walked(one, e.theta["maml"], corners, sampling(one, 0.1, 3), 20, 1)[1]
value = [mean_return(t, 100).mean().item() for t in played]
title = f"Twenty walks and one update: the return goes from {value[0]:.0f} to {value[1]:.0f}"
fig, axes = canvas(title, columns=4, height=2.5, sharex=True, sharey=True)
for ax, walks, r, words in zip(axes, played, value, ("before", "1 update", "2", "3")):
    for i in range(len(corners)):
        ax.plot(*paths(walks, i)[0].T, color=LOOKS["maml"].color, linewidth=0.6, alpha=0.35)
    ax.plot(*corners.T, "*", color=LOOKS["truth"].color, markersize=11, markerfacecolor="#fdfdfb")
    ax.set(title=f"{words}: {r:.1f}", xlim=(-0.7, 0.7), ylim=(-0.7, 0.7), aspect="equal")
    ax.set(xticks=[-0.5, 0, 0.5], xlabel="x")
axes[0].set_ylabel("y")
figure(
    fig,
    "Walks of one policy towards four goals, before and after one, two and three updates. Before, "
    "they stay around the middle; after one update they end at the goals. Mean returns: "
    f"{', '.join(f'{v:.1f}' for v in value)}.",
)

after = {k: e.after("maml", k).value for k in range(5)}
say(
    f"""
    *Stars: four of the forty goals on which the authors test, which training never saw. In each
    panel the policy has taken that many gradient steps, separately for each goal, each on twenty
    walks. The first of {len(e.seeds())} trainings at the paper's budget.*

    **It works**: on all forty goals, over {len(e.seeds())} trainings, one update takes the mean
    return from {after[0]:.1f} to {after[1]:.1f}. **What surprised us**: a policy with a memory does
    better than the gradient step, with as much training and a seventh of the walks."""
)

# %% [markdown]
# ## Put the goal somewhere
#
# Run this cell; nothing is trained. Click into a panel, or use the sliders, then press play. Look
# for the update after which the walks turn, and for what happens at the rim of the square, beyond
# which training had no goal. Then take the walks away, down to two: the step has less to go by, and
# points less well.

# %% tags=["widget"]
from mamlkit.knobs.navigation import banked_policies, walk_knobs

walk_knobs(**banked_policies())

# %% tags=["imports"]
from mamlkit.audit.claims import claim
from mamlkit.audit.navigation import share_of_oracle, signed
from mamlkit.audit.navigation_details import LATER, MARGIN, later_returns, memory_against_step
from mamlkit.audit.navigation_evidence import AUTHORS, interval
from mamlkit.bank.budget import budget
from mamlkit.inner import adapt, inner_step
from mamlkit.rl.collect import collect
from mamlkit.rl.navigation import Navigation
from mamlkit.rl.objectives import reinforce, surrogate
from mamlkit.rl.rl2 import rl2
from mamlkit.show.literate import progress, show
from mamlkit.show.plots import draw
from mamlkit.studies.navigation import NAVIGATION, repeats, steps
from mamlkit.studies.navigation_bandit import PULLS

# %% [markdown]
# ## The task
#
# A task is a goal, drawn evenly from the unit square $[-0.5, 0.5]^2$. The agent starts at the
# origin. It sees its own position and nothing else. It commands a velocity, at most 0.1 a step in
# each coordinate. The reward of a step is minus the distance to the goal from where it arrives. A
# walk ends near the goal, or after $H = 100$ steps; its return is the sum of its rewards, so that
# 0 would be perfect. All tasks and all walks are stepped side by side:

# %%
show(Navigation.step)

# %% [markdown]
# **What do you expect** of an agent that knows nothing of the goal? A step in any direction leads,
# on average over all goals, away from them. The best that *one* policy can do for all of them is to
# stand still in the middle.

# %% tags=["fold"]
still = e.facts.still
say(
    f"""
    Standing still returns **{still["distance"]:.2f}** on the authors' forty goals. Their own policy
    returned {AUTHORS["maml"][0]} before any update, so it stands still too. This also settles a
    question about the paper, which calls the reward the negative *squared* distance: with the
    square, standing still would return {still["squared"]:.2f}, and no number of the paper would
    fit. The authors' code has the plain distance, and so has this page. The code also ends a walk
    in a small box around the goal where the paper has a circle; the two disagree in
    {e.facts.disagree:.0%} of the box."""
)

# %% tags=["claim"]
claim("C104", "C105")

# %% [markdown]
# ## One step of adaptation, again
#
# Algorithm 3 is Algorithm 1 with another loss. The policy is a normal distribution whose mean is a
# network with two hidden layers of 100 ReLUs. Its objective on a task is REINFORCE,
#
# $$L_{T}(\theta) = -\frac{1}{n}\sum_{t} \log \pi_\theta(a_t | x_t)\, A_t .$$
#
# The advantage $A_t$ is the discounted sum of rewards from step $t$ on, minus a linear baseline
# that is fitted to the task's own walks, scaled to standard deviation 1. The inner step itself is
# the very function of [chapter 1](01_sinusoids.ipynb). What is new is where the data come from: the
# policy itself. So each step needs walks of its own.

# %%
show(reinforce, inner_step, adapt, collect)

# %% [markdown]
# The outer step is TRPO (Schulman et al. 2015). It looks for meta-parameters whose *adapted*
# policies raise the surrogate
#
# $$\frac{\pi_{\theta'}(a_t | x_t)}{\pi_{\mathrm{old}}(a_t | x_t)}\, A_t,
# \qquad \theta' = \theta - \alpha \nabla L_T(\theta),$$
#
# on walks after adaptation. The inner step is differentiated through. The mean divergence of the
# adapted policies from those that walked stays below 0.01. The direction comes from conjugate
# gradient on the exact Hessian of that divergence, where the authors took finite differences.

# %%
show(surrogate)

# %% [markdown]
# **What do you expect** of the return *before* the step while MAML learns? Nothing in the objective
# rewards it.

# %% tags=["figure"]
rose = e.histories["maml"].mean(0)
ends = rose[-5:].mean(0).tolist()
title = (
    f"The return after a step rises to {ends[1]:.0f}, the return before it only to {ends[0]:.0f}"
)
fig, ax = canvas(title)
for k, method, label in ((0, "random", "before the step"), (1, "maml", "after it")):
    for run in e.histories["maml"][..., k]:
        ax.plot(range(1, 101), run, color=LOOKS[method].color, linewidth=0.5, alpha=0.4)
    draw(ax, method, range(1, 101), rose[:, k], marker="", label=label)
ax.axhline(still["distance"], color=LOOKS["truth"].color, linewidth=0.8, linestyle=":")
ax.annotate("standing still", (2, still["distance"] + 2), fontsize=8.5)
ax.set(xlabel="meta-update", ylabel="mean return on training goals", xlim=(0, 120), ylim=(-85, 0))
figure(
    fig,
    "The mean return on training goals in meta-training, before the inner step and after it. "
    f"Before, it rises to {ends[0]:.0f}, near that of standing still; after, to {ends[1]:.0f}.",
)
say(
    f"""
    *{len(e.seeds())} trainings (thin) and their mean: 100 meta-updates of 20 tasks, 20 walks before
    and 20 after the step, the paper's sizes.*

    MAML learns to adapt, not to perform. Before the step it learns to stand still and to wait: on
    training goals too that is the best that one policy can do for all of them."""
)

# %% [markdown]
# ## Figure 4: how far does each update get?
#
# The test takes forty goals, the authors' own. Before each of up to four updates a policy walks
# forty times. The first step has size $\alpha$, all later ones half of it (appendix A.2). MAML has
# four opponents. *Pretrained* is the same TRPO on all tasks mixed, with a new goal for every walk
# and as many walks in an update as MAML takes in all. *Random* is a policy that was never trained.
# Both choose their step size from six, on validation goals. The *oracle* is told the goal and takes
# no step. The fourth, RL$^2$, comes further down. **What do you expect** of the third update and of
# the fourth?

# %% tags=["figure"]
title = (
    f"One update: MAML {after[1]:.1f}, pretrained {e.after('pretrained', 1).value:.1f}; "
    f"after four {after[4]:.1f} and {e.after('pretrained', 4).value:.1f}"
)
fig, ax = canvas(title, height=3.6)
for m in ("maml", "pretrained", "random", "oracle"):
    found = [e.after(m, k) for k in range(5)]
    band = [i.low for i in found], [i.high for i in found]
    marker = "" if m == "oracle" else LOOKS[m].marker
    draw(ax, m, range(5), [i.value for i in found], interval=band, marker=marker, gap=10)
    ax.plot(range(len(AUTHORS[m])), AUTHORS[m], "D", mfc="none", mec=LOOKS[m].color, ms=7)
ax.annotate(
    "open diamonds: the authors' numbers", (0.08, 0.03), xycoords="axes fraction", fontsize=9
)
ax.set(xlabel="gradient updates", ylabel="mean return on new goals", xticks=range(5))
ax.set(xlim=(-0.1, 4.9), ylim=(-90, 3))
figure(
    fig,
    "Mean return on the authors' forty goals after 0 to 4 updates: "
    + "; ".join(
        f"{LOOKS[m].label} " + ", ".join(f"{e.after(m, k).value:.1f}" for k in range(5))
        for m in ("maml", "pretrained", "random", "oracle")
    )
    + ". The authors' numbers stand beside them as diamonds.",
)
lead = {k: e.above("maml", "pretrained", k) for k in (1, 2, 3, 4)}
say(
    f"""
    *{len(e.seeds())} trainings at the paper's budget, 40 goals, 40 walks before each update; bands:
    95 % intervals by Student's t over trainings.*

    One update is worth most of the way, the second most of the rest, and the fourth nothing. MAML
    leads the pretrained policy by {signed(lead[1])} after one update; by the third, with
    {signed(lead[3])}, five trainings no longer tell the two apart."""
)

# %% tags=["claim"]
claim("C100", "C101", "C102", "S109")

# %% [markdown]
# ## Why does ours stop short of the authors'?
#
# Our MAML starts where theirs starts and returns the same after one update. After that it falls
# behind. We looked for the reason in three places. The first is *counting*. Walks end early where
# they find the goal. The authors collect whole walks until 4,000 environment steps are full and
# average over those that have finished. Such a batch holds more of the short walks, which are the
# good ones. Counting every walk that was begun is right on average, and all records on this page do
# that. The second is *the step size*: their script has 0.5 where the paper says 0.1. The third is
# *the curvature*, which we take from every tenth sample to save time.

# %% tags=["fold"]
kinder = interval(e.returns("maml", 4, "finished") - e.returns("maml", 4))
larger = e.above("alpha 0.5", "maml", 4)
exact = e.above("exact", "maml", 1)
counted = e.after("maml", 4, "finished").value
number = len(e.seeds("exact"))
on = f"over {number} trainings" if number > 1 else "on one seed"
say(
    f"""
    After four updates ours returns {after[4]:.1f}, theirs {AUTHORS["maml"][4]:.1f}. Counted as they
    count, ours returns {counted:.1f}: that closes {kinder.value:.1f} of the gap. With a first step
    of 0.5 in training and test the return after four updates changes by {signed(larger)}: this
    closes nothing. Curvature from all samples changes the return after one update by
    {signed(exact)}, {on}. The rest, {AUTHORS["maml"][4] - counted:.1f}, stays unexplained.
    Two reasons were not tried: more meta-updates, and another choice of the snapshot.

    What counts as learned? Two updates cover {share_of_oracle(e, 2):.0%} of the way to our oracle's
    return, {share_of_oracle(e, 2, "finished"):.0%} when counted as the authors count."""
)

# %% tags=["claim"]
claim("C134", "C103", "C106", "X020")

# %% [markdown]
# ## What the walks look like
#
# The lower half of the paper's Figure 4 shows walks: MAML's end at the goal, the pretrained
# policy's are spread. **What do you expect** to see of a pretrained policy whose step size was
# tuned for it?

# %% tags=["figure"]
shown = goals[:3]
rivals = ("maml", "pretrained")
seen = {
    m: walked(e.settings[m], e.theta[m], shown, sampling(e.settings[m], e.step[m], 3), 40, 40_000)[
        1
    ]
    for m in rivals
}
end = {m: e.after(m, 3, "end").value for m in rivals}
title = (
    f"After three updates both end at the goal: {end['maml']:.3f} and {end['pretrained']:.3f} away"
)
fig, axes = canvas(title, rows=2, columns=4, height=4.4, sharex=True, sharey=True)
for row, m in zip(axes, rivals):
    for k, ax in enumerate(row):
        for i in range(len(shown)):
            line = paths(seen[m][k], i)[0][:1010]
            ax.plot(*line.T, color=LOOKS[m].color, linewidth=0.6, alpha=0.35)
        ax.plot(*shown.T, "*", color=LOOKS["truth"].color, ms=10, mfc="#fdfdfb")
        ax.set(xlim=(-0.75, 0.75), ylim=(-0.75, 0.75), aspect="equal")
        ax.set(xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5], title=f"{LOOKS[m].label}, {k}")
figure(
    fig,
    "Walks towards three goals before and after one, two and three updates, MAML's above, the "
    f"pretrained policy's below. After three, MAML's end {end['maml']:.3f} from the goal on "
    f"average, the pretrained policy's {end['pretrained']:.3f}.",
)
say(
    """
    *The first three of the authors' goals, forty walks each, drawn up to a thousand points; the
    number in each title counts updates. First training of each; the distances are means over five
    trainings and forty goals.*

    The pretrained policy gets there as well. It takes an update longer, and its walks scatter on
    the way; at the end they are not spread, as the paper's picture has them."""
)

# %% tags=["claim"]
claim("C121")

# %% [markdown]
# ## Which part of the network turns?
#
# What do twenty walks around the middle tell? Each is noise. But where a step happens to lead
# towards the goal, the rest of the walk pays more than the baseline expects, and where it leads
# away, less. The update makes the former likelier. Some two thousand steps vote, and the goal is
# where the vote points. The vote is about *actions*, though, and what moves are *parameters*. The
# smallest change that would turn a walk is in the last layer's two biases: they add a constant
# velocity. **What do you expect**, then, if only they take the step, or only the last layer, or
# only the layers below it?

# %% tags=["figure"]
own = e.theta["maml"]
last = [name for name in own if name.startswith("layer2") or name == "log_std"]
PARTS = {
    "last biases": ["layer2.bias"],
    "last layer": last,
    "layers below": [name for name in own if name not in last],
    "everything": [*own],
}
gained = {}
for words, names in PARTS.items():
    before, then = walked(one, own, goals, [dict.fromkeys(names, 0.1)], 20, 3)[1]
    gained[words] = (mean_return(then, 100) - mean_return(before, 100)).mean().item()
title = f"The last layer alone gains {gained['last layer']:.0f} of {gained['everything']:.0f}, "
title += f"the layers below it {gained['layers below']:.0f}"
fig, ax = canvas(title, height=2.1)
ax.barh([*gained], [*gained.values()], color=LOOKS["maml"].color)
for y, gain in enumerate(gained.values()):
    ax.text(gain + 0.3, y, f"{gain:.1f}", va="center")
ax.set(xlabel="gain of one update when only this moves", xlim=(0, 32))
ax.invert_yaxis()
figure(fig, "Gain of one update by what moves: " + "; ".join(
    f"{words} {gain:.1f}" for words, gain in gained.items()) + ".")  # fmt: skip
say(
    f"""
    *The first training, the authors' 40 goals, one update of 0.1 on twenty walks.*

    Most of the turn is made below the last layer: alone the layers below gain
    {gained["layers below"]:.1f} of the {gained["everything"]:.1f}, the last layer
    {gained["last layer"]:.1f}. Its two biases alone gain {gained["last biases"]:.1f}: a step of
    this size hardly moves them."""
)

# %% [markdown]
# So this start is no stock of ready features with a last layer to be fitted on top, and neither is
# the one of [chapter 2](02_classification.ipynb), where the layers below do even more of the work.
# A constant velocity would not be enough anyway. To stay at the goal the policy has to slow down
# there, so that what one update changes has to depend on the place, and that is what the hidden
# layers are for.

# %% [markdown]
# ## Does a memory beat a gradient step here?
#
# A policy with a memory can do what a gradient step does, and more. RL$^2$ (Duan et al. 2016),
# which the paper cites and never runs, feeds a recurrent network with what it did and what that
# brought, and lets the memory outlive the walk. It is trained to maximise the sum of returns over
# three walks with the same goal, by the same TRPO and on as many environment steps as MAML. Nothing
# says that it must learn from its rewards by a gradient. It may as well find out that the distances
# from three known places tell where the goal is. **What do you expect**: does it need twenty walks?

# %%
show(rl2)

# %% tags=["figure"]
memory, trained = e.rl2["episodes"], e.rl2_setting["episodes"]
stepped = e.maml["20 walks"][: len(memory)].mean((0, 1))
several = f"{len(memory)} trainings" if len(memory) > 1 else "one training"
by_walk = memory.mean((0, 1))
apart = memory_against_step(e)
sure = all(i.low > -MARGIN for i in apart.values())
title = f"A memory's third walk returns {by_walk[2]:.1f}; MAML after twenty {stepped[1]:.1f}"
fig, ax = canvas(title, height=3.0)
draw(ax, "rl2", range(0, 2001, 100), by_walk[:21], label="")
ax.annotate("RL², walk by walk", (450, -9.5), color=LOOKS["rl2"].color, fontsize=8.5)
draw(ax, "maml", range(0, 8001, 2000), stepped, label="MAML, update by update")
ax.axvline(100 * trained, color=LOOKS["truth"].color, linewidth=0.8, linestyle=":")
ax.annotate("RL² was trained up to here", (100 * trained + 80, -38), fontsize=8.5)
ax.set(xlabel="environment steps played with the goal, at most", ylabel="mean return of a walk")
ax.set(xlim=(-150, 11_500))
figure(
    fig,
    "The mean return on the authors' goals against environment steps played with a goal. RL^2 "
    f"goes from {by_walk[0]:.1f} in its first walk to {by_walk[trained - 1]:.1f} in its third; "
    f"MAML goes from {stepped[0]:.1f} to {stepped[1]:.1f} after an update on 20 walks.",
)
say(
    f"""
    *{several.capitalize()} of RL$^2$: {e.rl2_setting["iterations"]} updates of
    {e.rl2_setting["trials"]} trials of {trained} walks; MAML's of the same seeds. 40 goals, 20
    trials of each.*

    Already the third walk is {signed(apart[trained])} above what MAML returns after an update on
    twenty, and the last, the twenty-first, {signed(apart[memory.shape[-1]])}. The trainings differ:
    their third walks return {", ".join(f"{r:.1f}" for r in memory[..., trained - 1].mean(1))}. The
    first walk returns {by_walk[0]:.1f}, since within a walk the memory finds the goal. All twenty
    walks before the last took {e.rl2["steps"].mean():.0f} steps, MAML's take 2,000. How the
    network starts decided whether it learned at all: a first training, with smaller first weights,
    stood still far below MAML. Our criterion had been written with those; it asked for an interval
    above -1 over trainings, and by {several} the answer {"is partly given" if sure else
    "stays open"}."""
)

# %% tags=["claim"]
claim("X021")

# %% [markdown]
# ## New walks for every step
#
# Section 3.2 says that each additional step of adaptation "requires new samples from the current
# policy". A supervised learner takes all its steps on one support set; here the samples are the
# policy's own. **What do you expect** if the second step uses the first step's walks again?

# %% tags=["fold"]
new, old = e.maml["new walks"], e.maml["old walks"]
say(
    f"""
    After two steps the return is **{new.mean():.1f}** where the second used new walks, and
    **{old.mean():.1f}** where it used the first step's again: {signed(interval(new - old))} for new
    walks. The old ones say what the policy did before it turned, and a second push the same way
    overshoots."""
)

# %% tags=["claim"]
claim("C020")

# %% [markdown]
# ## The missing term
#
# There is a catch in those samples. The inner step moves $\theta$ along walks that $\theta$ itself
# produced. So $\theta$ acts twice on the adapted policy: by where it starts, and by *which walks*
# it adapts to. Differentiating the loss through the inner step, as Algorithm 3 does, sees only the
# first. With $\tau$ the walks and $R(\theta')$ the reward after adaptation,
#
# $$\nabla_\theta\, E_\tau\!\left[R(\theta'(\theta, \tau))\right] =
# \underbrace{E_\tau\!\left[\nabla_\theta
# R(\theta'(\theta, \tau))\right]}_{\text{what MAML estimates}}
# + \underbrace{E_\tau\!\left[R(\theta')\,
# \nabla_\theta \log P_\theta(\tau)\right]}_{\text{missing}} .$$
#
# On a bandit with three arms both can be computed exactly, by counting all histories of $n$ pulls.
# **What do you expect** as $n$ grows: does the missing term go away?

# %% tags=["figure"]
log, ratio = (e.bandit.meta[name] for name in ("log", "ratio"))
title = (
    f"On one bandit the meta-gradient is off by {100 * log[0]:.1f} %, however many the pulls"
)
fig, ax = canvas(title)
for line, values, label in (
    ("-", log, "log π, section 5.3"),
    ("--", ratio, r"$\pi\,/\,\pi_{old}$"),
):
    draw(ax, "maml", PULLS, [100 * v for v in values], label=label, linestyle=line)
ax.set(xlabel="pulls before the inner step", ylabel="error of the meta-gradient, %")
ax.set(xlim=(0, 27), ylim=(-0.4, None))
figure(
    fig,
    "The relative error of the expected meta-gradient against the number of pulls: with the "
    f"logarithm from {log[0]:.1%} to {log[-1]:.1%}, with the ratio from {ratio[0]:.1%} to "
    f"{ratio[-1]:.1%}.",
)
say(
    f"""
    *One bandit with three arms, every history counted in double precision. Another bandit has other
    errors.*

    More samples do not mend it. The gradient of $\\log\\pi \\cdot A$ is right on average, but its
    *Hessian*, which the meta-gradient uses, is not the Hessian of the expected reward: here it is
    off by {e.bandit.hessian["log"]:.0%} of its size. With $\\pi / \\pi_{{old}}$ in its place (the
    trick of DiCE and of ProMP) gradient and Hessian are both exact, and the error falls to
    {ratio[-1]:.1%} with {PULLS[-1]} pulls."""
)

# %% tags=["claim"]
claim("C021")

# %% [markdown]
# ## Half steps after the first, and another reward
#
# Appendix A.2 remarks that halving the step size after the first step "produced superior
# performance". It is easy to test: the same policies, the same goals, another rule for the later
# steps. **What do you expect** if all steps are as large as the first?

# %% tags=["figure"]
halving = interval(later_returns(e, "halved") - later_returns(e, "the same"))
title = f"Half steps return {halving.value:.1f} more than the same step throughout"
fig, axes = canvas(title, columns=2, height=3)
for (name, key), line in zip(LATER.items(), ("-", "--", ":")):
    found = (e.walks["maml"]["begun"] if key is None else e.maml[key]).mean((0, 1))
    axes[0].plot(range(1, 5), found[1:], line, color=LOOKS["maml"].color, label=f"later: {name}")
for m, line, label in (("maml", "-", "distance"), ("squared", "--", "squared distance")):
    far = e.walks[m]["end"].mean((0, 1))
    axes[1].plot(range(5), far, line, color=LOOKS["maml"].color, label=f"reward: {label}")
axes[0].set(xlabel="gradient updates", ylabel="mean return", xticks=range(1, 5))
axes[1].set(
    xlabel="gradient updates", ylabel="distance at the end", xticks=range(5), ylim=(0, None)
)
axes[0].legend(frameon=False, fontsize=8.5, loc=(0.4, 0.55))
axes[1].legend(frameon=False, fontsize=8.5)
figure(
    fig,
    "Left: the mean return after 1 to 4 updates for three rules of the later steps. Right: how far "
    "from the goal walks end, trained with the distance as reward and with its square. Halving "
    f"changes the return of updates 2 to 4 by {signed(halving)}.",
)
squared = e.after("squared", 2, "end").value
say(
    f"""
    *{len(e.seeds())} trainings each at the paper's budget, 40 goals, 40 walks.*

    The remark is right: over updates 2 to 4 the half steps return {signed(halving)} more. With the
    squared distance as reward, as the paper writes it, walks end {squared:.3f} from the goal after
    two updates, with the plain distance {e.after("maml", 2, "end").value:.3f}."""
)

# %% tags=["claim"]
claim("C135")

# %% [markdown]
# ## Five numbers that adapt
#
# Appendix C.2 gives the network five more inputs, the same at every step, and lets *only those five
# numbers* adapt. The paper finds that this "performed well on the toy pointmass problem" (Table 4).
# The goal has two coordinates, so five numbers could be plenty. Our five trainings took a step of
# 1; whether another step in training would help was not tried. In the test the policy may choose
# from ten step sizes on validation goals, as its rivals choose. **What do you expect**?

# %% tags=["figure"]
sizes, tried = e.tuning["context"]
best = e.after("context, one step", 1).value
title = f"Five numbers return {best:.1f} after one update, MAML {after[1]:.1f}"
fig, axes = canvas(title, columns=2, height=3)
axes[0].semilogx(sizes, tried[:, 1], "o-", color=LOOKS["context"].color)
axes[0].set(xlabel="first step size", ylabel="return after one update, validation goals")
for i, run in enumerate(e.walks["context, one step"]["begun"][..., :2].mean(1)):
    axes[1].plot((0, 1), run, "o-", color=LOOKS["context"].color, label="" if i else "five numbers")
axes[1].plot((0, 1), [after[0], after[1]], "o-", color=LOOKS["maml"].color, label="MAML, mean")
axes[1].plot((0, 1), AUTHORS["context"][:2], "D", mfc="none", mec=LOOKS["context"].color, ms=7)
axes[1].set(xlabel="gradient updates", ylabel="return on the authors' goals", xticks=(0, 1))
axes[1].set_yscale("symlog", linthresh=50)
axes[1].set_yticks(ticks := [-10, -20, -50, -100, -200, -400], ticks)
axes[1].set_yticks([], minor=True)
axes[1].set_ylim(-500, 10)
axes[1].legend(frameon=False, fontsize=8.5)
figure(
    fig,
    "Left: the mean return after one update of five numbers against the first step size, on "
    f"validation goals. Right: each training before and after one update, MAML's mean "
    f"({after[1]:.1f} after one) and the authors' numbers (open diamonds).",
)
each = ", ".join(f"{r:.1f}" for r in e.returns("context, one step", 1).mean(1))
say(
    f"""
    *{len(e.seeds("context"))} trainings at the paper's budget; 20 validation goals, 40 test goals.*

    A better step size at test does not rescue them. The trainings return {each} after one update;
    the authors report {AUTHORS["context"][1]}, of one training. Before any step ours return far
    less than standing still: training looked only at the return after the step."""
)

# %% tags=["claim"]
claim("C140")

# %% [markdown]
# ## Run it yourself
#
# The loop below is the beginning of MAML's first banked training, at the paper's size: twenty tasks
# of twenty walks, the same seed. Its first two updates must agree with the bank to four digits on
# any processor. From then on rounding passes through conjugate gradient and a line search, and only
# the mean return of what follows must lie within a quarter.

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # of the first network and of everything drawn; 0 or more
alpha: float = 0.1  # the inner step size; above 0
tasks: int = 20  # tasks in a meta-batch; 1 or more
rollouts: int = 20  # walks of a task before and after the inner step; 1 or more

# %%
torch.set_num_threads(1)  # sums in another order are another training
setting = NAVIGATION.cells("paper", 1)["maml-0"] | {"seed": seed, "alpha": alpha}
setting |= {"tasks": tasks, "rollouts": rollouts, "tested": [alpha]}
updates = budget(profile, smoke=2, quick=24, paper=100)
for now in progress(steps(setting, None, updates), updates, "meta-training"):
    returns = now.optimizer["returns"]
say(repeats(now.losses, setting))

# %% tags=["figure"]
title = f"Your {updates} updates: from {returns[0, 1]:.0f} to {returns[-1, 1]:.0f} after the step"
fig, ax = canvas(title, height=2.8)
for run in e.histories["maml"][1:, :, 1]:
    ax.plot(range(1, 101), run, color=LOOKS["maml"].color, linewidth=0.6, alpha=0.3)
bold = e.histories["maml"][0, :, 1]
draw(ax, "maml", range(1, 101), bold, marker="", linewidth=1.4, label="banked, seed 0")
ax.plot(range(1, updates + 1), returns[:, 1], color=LOOKS["maml"].color, linewidth=6, alpha=0.3)
ax.set(xlabel="meta-update", ylabel="mean return after the step", xlim=(0, 125), ylim=(-85, 0))
figure(
    fig,
    f"The return after the step in your run, a pale wide line of {updates} updates, over the "
    "banked training of seed 0 and those of the other seeds.",
)

# %% [markdown]
# *Pale and wide: your run. Blue: the banked trainings at the paper's budget, seed 0 in bold.*
#
# Three things to try, and what should happen:
#
# - `alpha = 0.5`, the step size of the authors' code: the untrained policy already gains from its
#   first step, so that the curve starts higher. It does not end higher.
# - `rollouts = 5`: step and test see noisier gradients. The curve rises later and trembles.
# - `tasks = 5`: a meta-update sees five goals. The authors' script remarks that few tasks are "much
#   less stable".
#
# Headless: `python -m mamlkit run 04_navigation -p alpha=0.5`. At the paper's budget:
# `python -m mamlkit bank --only navigation`.
#
# [Before: what first order loses](03_first_order.ipynb) ·
# [next: locomotion](05_locomotion.ipynb) · [what is true](07_scoreboard.ipynb)
