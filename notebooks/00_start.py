# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here · Why would a starting point matter?
#
# Every network is trained from some starting point, and nobody asks much of it. Finn, Abbeel &
# Levine (2017) ask: could there be a start from which *one* gradient step solves a new task? They
# train for such a start and call that *model-agnostic meta-learning*, MAML. Their Figure 1 draws
# it: a point, three tasks, three short arrows. This book runs the paper, section by section, and
# puts every claim that can be checked to a test that can fail. First, that figure, with numbers.

# %% tags=["figure"]
from torch.func import vmap

from mamlkit.probes.quadratic import joint_optimum, loss, maml_optimum, three_tasks
from mamlkit.show.literate import figure
from mamlkit.show.plots import LOOKS, canvas
from mamlkit.variants.maml import maml

tasks, step = three_tasks(), 0.9
stepper = maml(loss, alpha=step, steps=1)
starts = {"pretrained": joint_optimum(tasks), "maml": maml_optimum(tasks, step)}
moved = {m: vmap(stepper.adapt, (None, 0))(start, tasks)[1] for m, start in starts.items()}
after = {m: vmap(loss)(moved[m], tasks).mean().item() for m in starts}
fig, axes = canvas(
    f"Loss after one step: {after['maml']:.2f} from the MAML point, "
    f"{after['pretrained']:.2f} from the other",
    columns=2,
    sharex=True,
    sharey=True,
    height=3.4,
)
for ax, (m, start) in zip(axes, starts.items()):
    ax.plot(*tasks.c.T, "*", color=LOOKS["oracle"].color, markersize=13)
    ax.plot(*start["theta"], LOOKS[m].marker, color=LOOKS[m].color, markersize=9)
    for i, end in enumerate(moved[m]["theta"]):
        arrow = {"arrowstyle": "->", "color": LOOKS[m].color, "linewidth": 2}
        ax.annotate("", end, start["theta"], arrowprops=arrow)
        at = dict(xytext=(8, -14), textcoords="offset points", fontsize=9)
        ax.annotate(f"task {i + 1}", tasks.c[i], **at)
    name = {"pretrained": "from the joint-training point", "maml": "from the MAML point"}[m]
    ax.set(title=name, xlabel=r"$\theta_1$", aspect="equal", xlim=(-3.4, 3.8), ylim=(-2, 3.2))
axes[0].set_ylabel(r"$\theta_2$")
figure(
    fig,
    "Two panels with the optima of three tasks as stars. Arrows show one gradient step towards "
    "each task from the joint-training point on the left and from the MAML point on the right; "
    "the MAML point's arrows end nearer to the stars.",
)

# %% [markdown]
# *Stars are the tasks' optima, arrows one gradient step for each. Both starts are computed in
# closed form.*
#
# Both starts take steps of the same $\alpha$, and one of them is left with less than half of the
# other's loss. The MAML point is the worse place to *stay*: its own loss is higher. It is the
# better place to step *from*. Training on all tasks at once asks for a low loss now, MAML asks for
# a low loss after the step.
#
# **Turn it.** Run this cell; nothing is trained. How much the two points differ is a matter of
# curvature: make the tasks rounder and alike, and watch the points meet.

# %% tags=["widget"]
from mamlkit.knobs.figure1 import curvature_knob

curvature_knob(alpha=0.9)

# %% [markdown]
# ## Figure 1, measured
#
# Each task has a quadratic loss $L_i(\theta) = \tfrac12 (\theta - c_i)^\top A_i (\theta - c_i)$.
# Training on all tasks at once ends where $\sum_i A_i (\theta - c_i) = 0$. MAML asks for the least
# loss *after* one step, and a step leaves $(I - \alpha A_i)(\theta - c_i)$ of the error. So it ends
# where $\sum_i M_i A_i M_i (\theta - c_i) = 0$ with $M_i = I - \alpha A_i$:

# %%
from mamlkit.show.literate import show

show(joint_optimum, maml_optimum)

# %% [markdown]
# **What do you expect:** if all tasks had the same curvature in every direction, would the two
# points differ? They would not. $M_i$ is then one number times the identity, for all tasks the
# same, and drops out of the equation. A good start differs from a good average only where tasks
# differ in shape, and that is what the scene above shows.
#
# A sentence of the paper about this picture with its verdict, and an article's illustration, which
# has none. A click opens the test; the marks are explained below.

# %% tags=["claim"]
from mamlkit.audit.claims import claim

claim("C011", "S102")

# %% [markdown]
# ## The book
#
# Each chapter opens with its answer. Its second cell is a scene to play with, on networks that we
# trained and keep in the *bank*, a folder of this repository. Then comes the argument, with figures
# from our largest runs. In chapters 1 to 6 the last section is yours: it trains for a minute and
# holds your run against ours.

# %% tags=["fold"]
from mamlkit.book.notebooks import contents
from mamlkit.show.literate import say

say(contents())

# %% [markdown]
# ## How to read a verdict
#
# Each claim has a criterion, made of checks that pass or fail, and the verdict is computed from
# them. A criterion was written before its run; where it was changed later, the card says so and
# why. The words in italics are the source's; of a number, an order or a setting they are ours.
#
# | verdict | it means |
# |---|---|
# | ✔ reproduced | every check passed, with the seeds and the budget that the criterion asks for |
# | ◐ partial | some checks passed, or all did with fewer seeds or a smaller budget |
# | ✘ not reproduced | the paper's number or order did not come out here, at the paper's budget |
# | ⚑ refuted as stated | the sentence, taken at its word, is false; the card says what is true |
# | ▸ answered | a question of ours, also of what the paper only does: an answer, no verdict |
# | ○ not tested | nothing that was run can decide it; the card says what would |
# | – not testable | an opinion, history, or a note |
#
# A run with less training than the paper's can support a claim. It never refutes one.
#
# ## Words
#
# | word | meaning |
# |---|---|
# | task | one problem $T_i$, with its own loss $L_i$; in the first chapter one sine wave |
# | support, query | what a model adapts to, and what it is judged on (the paper's $D$ and $D'$) |
# | shot, way | support examples (for each class); classes in a task |
# | inner step, $\alpha$ | a gradient step on one task's support, and its size |
# | outer step, $\beta$ | an update of the starting point itself, and its size |
# | meta-batch | the tasks of one outer step: the `tasks` axis |
# | $\theta$, $\theta'$ | the starting point, and where an inner step leads |
# | the bank | results of long runs, kept in `data/bank` with their settings and how they began |
#
# ## Three ways to use it
#
# - **Read and run**: open a chapter and run all cells; most take seconds, the last section about a
#   minute.
# - **Turn knobs**: everything works from the keyboard as well.
# - **Headless**: `python -m mamlkit run 01_sinusoids -p seed=3`, or a sweep with `--grid`; `--help`
#   says more.
#
# ## Is this machine ready?

# %% tags=["fold"]
from mamlkit.bank.provenance import check

rows = (f"| {'✔' if works else '○'} | {part} | {what} |" for part, works, what in check())
say("| | part | here |\n|---|---|---|\n" + "\n".join(rows))

# %% [markdown]
# Next: [five points, one step: how can that be enough?](01_sinusoids.ipynb)
