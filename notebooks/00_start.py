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
# Every network is trained from some starting point, and nobody asks much of it. Finn, Abbeel & Levine (2017) ask: could
# there be a start from which *one* gradient step solves a new task? Their Figure 1 draws it: a point, three tasks, three
# short arrows. This book runs the paper, section by section, and puts every claim that can be checked to a test that
# can fail. First, that figure, with numbers.

# %% tags=["figure"]
import torch
from torch.func import vmap

from mamlkit.show.literate import figure
from mamlkit.show.plots import LOOKS, canvas
from mamlkit.probes.quadratic import joint_optimum, loss, maml_optimum, three_tasks
from mamlkit.variants.maml import maml

tasks, step = three_tasks(), 0.9
stepper = maml(loss, alpha=step, steps=1)
starts = {"pretrained": joint_optimum(tasks), "maml": maml_optimum(tasks, step)}
moved = {m: vmap(stepper.adapt, (None, 0))(start, tasks)[1] for m, start in starts.items()}
after = {m: vmap(loss)(moved[m], tasks).mean().item() for m in starts}
fig, axes = canvas(f"After one step each, the MAML point's loss is {after['maml']:.2f}, the joint point's {after['pretrained']:.2f}", columns=2, sharex=True, sharey=True, height=3.4)
for ax, (m, start) in zip(axes, starts.items()):
    ax.plot(*tasks.c.T, "*", color=LOOKS["oracle"].color, markersize=13)
    ax.plot(*start["theta"], LOOKS[m].marker, color=LOOKS[m].color, markersize=9)
    for i, end in enumerate(moved[m]["theta"]):
        ax.annotate("", end, start["theta"], arrowprops={"arrowstyle": "->", "color": LOOKS[m].color, "linewidth": 2})
        ax.annotate(f"task {i + 1}", tasks.c[i], xytext=(6, 6), textcoords="offset points", fontsize=9)
    ax.set(title={"pretrained": "from the joint-training point", "maml": "from the MAML point"}[m], xlabel=r"$\theta_1$", aspect="equal", xlim=(-3.4, 3.8), ylim=(-2, 3.2))
axes[0].set_ylabel(r"$\theta_2$")
figure(fig, "Two panels with the optima of three tasks as stars. Arrows show one gradient step towards each task from the joint-training point on the left and from the MAML point "
            "on the right; the MAML point's arrows end nearer to the stars.")

# %% [markdown]
# *Stars are the tasks' optima, arrows one gradient step for each. Both starts are computed in closed form.* What this
# page takes: a few seconds.

# %% tags=["imports"]
import torch
from torch.func import grad, vmap

from mamlkit.audit import claims
from mamlkit.audit.claims import Table, record
from mamlkit.show.literate import say, show
from mamlkit.bank.provenance import check
from mamlkit.machine import choose_device, seeded
from mamlkit.probes.quadratic import Quadratic, joint_optimum, loss, maml_optimum, three_tasks
from mamlkit.variants.maml import maml

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
alpha: float = 0.9  # the inner step size, curvatures being at most 1; above 0

# %% [markdown]
# ## Figure 1, measured
#
# Each task has a quadratic loss $L_i(\theta) = \tfrac12 (\theta - c_i)^\top A_i (\theta - c_i)$. Training on all tasks at once
# ends where $\sum_i A_i (\theta - c_i) = 0$. MAML asks for the least loss *after* one step, and a step leaves
# $(I - \alpha A_i)(\theta - c_i)$ of the error, so it ends where $\sum_i M_i A_i M_i (\theta - c_i) = 0$ with
# $M_i = I - \alpha A_i$. **What do you expect:** if all tasks had the same curvature in every direction, would the two points
# differ?

# %%
where = choose_device(device)
run = claims.begin("00_start", profile, [seed], where)
show(joint_optimum, maml_optimum)

# %% tags=["claim"]
tasks, learner = three_tasks(), maml(loss, alpha=alpha, steps=1)
joint, best = joint_optimum(tasks), maml_optimum(tasks, alpha)
ends = lambda start: vmap(learner.adapt, (None, 0))(start, tasks)[1]["theta"]
post = lambda start: vmap(loss)({"theta": ends(start)}, tasks).mean().item()
distance = lambda start: (ends(start) - tasks.c).norm(dim=-1).mean().item()
anywhere = 6 * torch.rand(1000, 2, generator=seeded(seed), dtype=torch.double) - 3
lowest = min(post({"theta": t}) for t in anywhere)
round_tasks = Quadratic(0.5 * torch.eye(2, dtype=torch.double).expand(3, 2, 2), tasks.c)
apart = (joint_optimum(round_tasks)["theta"] - maml_optimum(round_tasks, alpha)["theta"]).norm().item()
record(run, "C011", checks={"loss": post(best) < min(post(joint), lowest), "distance": distance(best) < distance(joint), "curvature": apart < 1e-6},
       protocol=f"three quadratic tasks in a plane, alpha {alpha:g}, closed forms in float64, 1,000 random starts in [-3, 3]^2",
       here={"loss after one step, MAML point": post(best), "joint point": post(joint), "best of 1,000 random points": lowest,
             "distance to the optima, MAML point": distance(best), "distance, joint point": distance(joint), "distance of the two points at equal curvature": apart},
       why=f"after one step the MAML point's loss is {post(best):.3f}, the joint point's {post(joint):.3f}, the best random point's {lowest:.3f}; the mean distance to the optima is "
           f"{distance(best):.2f} against {distance(joint):.2f}; with equal curvatures the two points are one.")

# %% [markdown]
# An article on the paper calls MAML's point "a spot from which a single gradient update can move the model close to any"
# optimum. How close? Give each task its own best step size.

# %% tags=["claim"]
sizes = torch.linspace(0.05, 8, 400, dtype=torch.double)
pull = vmap(grad(loss), (None, 0))(best, tasks)["theta"]
left = (best["theta"] - sizes[:, None, None] * pull - tasks.c).norm(dim=-1).amin(0) / (best["theta"] - tasks.c).norm(dim=-1)
record(run, "S102", checks={"close to any": bool((left <= 0.25).all())}, protocol="the same tasks; for each the best of 400 step sizes",
       here={f"share of the distance left, task {i + 1}": f.item() for i, f in enumerate(left)},
       why=f"the best single step leaves {left.min():.0%} to {left.max():.0%} of the distance to the task's optimum; at most a quarter is left for {(left <= 0.25).sum()} of {len(left)} tasks.")

# %% [markdown]
# **Turn it.** How much the two points differ is a matter of curvature: make the tasks rounder and alike, and watch them
# meet.

# %% tags=["widget"]
from mamlkit.knobs.figure1 import curvature_knob

curvature_knob()

# %% [markdown]
# ## Is this machine ready?

# %% tags=["fold"]
say("| | part | here |\n|---|---|---|\n" + "\n".join(f"| {'✔' if works else '○'} | {part} | {what} |" for part, works, what in check()))

# %% [markdown]
# ## The book
#
# | notebook | its question |
# |---|---|
# | [01 · Sinusoids](01_sinusoids.ipynb) | Five points, one step: how can that be enough? (section 5.1, appendices B and C) |
# | [02 · Classification](02_classification.ipynb) | One drawing of each: which is the new one? (section 5.2, Table 1, appendix A.1) |
# | [03 · First order](03_first_order.ipynb) | What do we lose without second derivatives? (section 5.2, last paragraph) |
# | [07 · Scoreboard](07_scoreboard.ipynb) | So what is true? |
#
# Section 5.3 (navigation, locomotion) and what came after the paper get their notebooks next.

# %% tags=["fold"]
rows = claims.standing(claims.read("paper"))
count = lambda notebook: ", ".join(f"{n} {v}" for v in claims.VERDICTS if (n := sum(r["verdict"] == v for r in rows if r["notebook"] == notebook)))
say("The claims so far, at the paper's budget:\n\n" + "\n".join(f"- {n}: {count(n)}" for n in dict.fromkeys(r["notebook"] for r in rows)))

# %% [markdown]
# ## How to read a verdict
#
# Each claim has a criterion that was written down before the run, made of checks that pass or fail; the verdict is
# computed from them.
#
# | verdict | it means |
# |---|---|
# | ✔ reproduced | every check passed, with the seeds and the budget that the criterion asks for |
# | ◐ partial | some checks passed, or all did with fewer seeds or a smaller budget |
# | ✘ not reproduced | the paper's number or order did not come out here |
# | ⚑ refuted as stated | the sentence, taken at its word, is false; the card says what is true instead |
# | ○ not tested | no record yet, with the command that makes it |
# | – not testable | an opinion, history, or a note |
#
# ## Three ways to use it
#
# - **Read and run**: open a notebook, run all cells; `profile` in its parameters cell says how much is run.
# - **Turn knobs**: a knob stands after the figure that it explains; everything works from the keyboard.
# - **Headless**: `python -m mamlkit run 01_sinusoids -p seed=3`, or a sweep with `--grid`; `--help` says more.
#
# ## Words
#
# | word | meaning |
# |---|---|
# | task | one problem $T_i$, with its own loss $L_i$; here one sine wave |
# | support, query | the examples a model adapts to, and the ones it is judged on ($D$ and $D'$ in the paper) |
# | shot, way | support examples (for each class); classes in a task |
# | inner step, $\alpha$ | a gradient step on one task's support, and its size |
# | outer step, $\beta$ | an update of the starting point itself, and its size |
# | meta-batch | the tasks of one outer step: the `tasks` axis |
# | $\theta$, $\theta'$ | the starting point, and where an inner step leads |
