# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Five points, one step: how can that be enough?
#
# A sine wave has two unknowns, its amplitude and its phase. Show five noiseless points of a new one to a network of
# 1,761 weights, take **one** gradient step, and the network is to draw the whole wave; an ordinary pretrained network,
# with the same five points and the same step, is not to. Section 5.1 of Finn, Abbeel &
# Levine (2017) rests on this difference. Below: does it hold, where does it stop holding, and why?

# %% tags=["figure"]
import torch

from mamlkit.bank.checkpoint import kept
from mamlkit.audit.claims import BANK
from mamlkit.families.sinusoid import sinusoid
from mamlkit.inner import inner_step
from mamlkit.show.literate import figure
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp
from mamlkit.show.plots import canvas, draw
from mamlkit.trees import tree_map

net = mlp(1, 40, 40, 1)
waves = sinusoid(shots=5, queries=100)
first = tree_map(lambda t: t[0], waves.noise(seeded(10_000), 10_000))  # the first of the test waves below
points, x = waves.make(first).support, torch.linspace(-5, 5, 200)[:, None]
truth = first.amplitude * torch.sin(x - first.phase)
curves = {}
for method in ("maml", "pretrained"):
    theta = {name: p[0] for name, p in kept(BANK / "checkpoints" / f"sinusoid-{method}.safetensors")[0].items()}
    adapted = inner_step(theta, lambda p: mse(net.forward)(p, points), 0.01)
    curves[method] = net.forward(theta, x), net.forward(adapted, x)
fell = {m: " to ".join(f"{(y - truth).square().mean():.2f}" for y in pair) for m, pair in curves.items()}
fig, axes = canvas(f"One step on five points: MAML's error goes from {fell['maml']}, the pretrained network's from {fell['pretrained']}", columns=2, sharey=True)
for ax, (method, (before, after)) in zip(axes, curves.items()):
    ax.plot(x, truth, color="#222222", linewidth=1)
    draw(ax, method, x[:, 0], before[:, 0], marker="", linewidth=1, label="before")
    draw(ax, method, x[:, 0], after[:, 0], marker="", linewidth=2.6, label="after")
    ax.plot(points.x, points.y, "D", color="#222222", markersize=5)
    ax.set(xlabel={"maml": "x (MAML)", "pretrained": "x (pretrained)"}[method], xlim=(-5, 6.2))
axes[0].set_ylabel("y")
figure(fig, "Two panels with the same sine wave, five points, and a network's curve before and after one gradient step: "
            f"MAML's, whose squared error goes from {fell['maml']}, and a pretrained network's, from {fell['pretrained']}.")

# %% [markdown]
# *The black line is the first of the test waves, diamonds are five points of it; thin is before the step, thick is after.*
#
# **What this takes.** At `quick` everything below is trained from scratch, with two seeds and a short budget, in a few
# minutes on two cores; at `paper` it is the paper's own budget of 70,000 iterations and five seeds, whose banked
# records stand in the scoreboard. A first run also compiles each training step, for some seconds.
#
# [Start](00_start.ipynb) · [scoreboard](07_scoreboard.ipynb)

# %% tags=["imports"]
from collections import deque
from math import pi

import torch
from torch.func import grad, vmap

from mamlkit.audit import claims
from mamlkit.baselines.averaging import average, l2, none, to_mean
from mamlkit.baselines.fine_tune import fine_tune
from mamlkit.baselines.oracle import sine, sine_fit
from mamlkit.baselines.pretrain import pretrain
from mamlkit.bank.budget import budget
from mamlkit.bank.checkpoint import keep, kept, place, remembered, resumable
from mamlkit.audit.claims import Table, record
from mamlkit.evaluate import evaluate, on_query, on_support
from mamlkit.families.sinusoid import informed, make, pictured, same_wave, sinusoid, walked
from mamlkit.inner import adapt, inner_step, repeated
from mamlkit.audit.intervals import bootstrap, fraction, holm, over_seeds, paired
from mamlkit.probes.tangent_kernel import alignment, linearised_step, tangent_kernel
from mamlkit.learner import Learner, unrolled
from mamlkit.show.literate import figure, progress, say, show, watch
from mamlkit.losses import accuracy, cross_entropy, huber, mse
from mamlkit.machine import choose_device, seeded, source_key
from mamlkit.nets import count, mlp, pooled_convnet, strided_convnet
from mamlkit.probes.finite_differences import double, finite_difference_gap, random_direction
from mamlkit.optimizer import adam
from mamlkit.show.plots import LOOKS, canvas, draw
from mamlkit.sequence import gru, transformer
from mamlkit.task import Data, Family, Task, sample
from mamlkit.train import train
from mamlkit.trees import dot, ravel, tree_map
from mamlkit.variants.fomaml import fomaml
from mamlkit.variants.maml import maml

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # the first seed; 0 or more
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
alpha: float = 0.01  # the inner step size; above 0
beta: float = 0.001  # the meta step size of Adam; above 0
shots: int = 10  # support examples in training, the paper's K; 1 or more
tasks: int = 25  # tasks in a meta-batch; 1 or more

# %%
where = choose_device(device)
seeds = range(seed, seed + budget(profile, smoke=1, quick=2, paper=5))
iterations = budget(profile, smoke=10, quick=4_000, paper=70_000)
test_tasks = budget(profile, smoke=20, quick=500, paper=10_000)
run = claims.begin("01_sinusoids", profile, seeds, where)
protocol = (f"alpha {alpha:g}, K {shots} in training, meta-batch {tasks}, Adam {beta:g}, {iterations:,} iterations; "
            f"{test_tasks:,} test tasks of 100 queries, the same for every method")
say(f"Running at **{profile}** on **{where}**: {iterations:,} iterations, seeds {[*seeds]}, {test_tasks:,} test tasks.")

# %% [markdown]
# ## The task, the network, the algorithm
#
# A task is one wave $y = A \sin(x - \varphi)$ with $A$ uniform in $[0.1, 5]$ and $\varphi$ in $[0, \pi]$, inputs uniform in
# $[-5, 5]$. The network has two hidden layers of 40 ReLUs. Meta-training (Algorithm 1) looks for parameters
# $\theta$ from which one step on a task's ten *support* points,
#
# $$\theta_i' = \theta - \alpha \nabla_\theta L_{T_i}(\theta) \qquad\text{(line 6)},$$
#
# gives a small loss on ten *query* points of the same task (line 8 differentiates that loss through the step):
#
# $$\theta \leftarrow \theta - \beta \nabla_\theta \sum_i L_{T_i}(\theta_i').$$
#
# This is all of it, and it is the code that runs below:

# %%
show(inner_step, adapt, maml, unrolled)

# %% [markdown]
# **What do you expect?** The loss below is measured *after* one step on ten points. A network that ignored the points
# could not do better than the variance that the wave leaves, about 3. Where will it end, and will the first-order
# version, which never sees how the gradient moves, end higher?

# %%
net, loss = mlp(1, 40, 40, 1), mse(mlp(1, 40, 40, 1).forward)
waves = sinusoid(shots=shots, queries=10)


loss_now = lambda step: f"loss {step.losses[-100:].mean():.3f}"
last = lambda items: deque(items, maxlen=1).pop()
smooth = lambda losses: torch.stack([part.mean() for part in losses.chunk(min(100, len(losses)))])


def falling(step):
    """The picture of a run on its way: its loss so far."""
    fig, ax = canvas(f"After {step.iteration:,} meta-iterations: {loss_now(step)}", height=2.2)
    ax.plot(torch.linspace(0, step.iteration, len(smooth(step.losses))), smooth(step.losses), color=LOOKS["maml"].color)
    ax.set(xlabel="meta-iteration", ylabel="loss", ylim=(0, 4.5))
    return fig


def meta_train(name, learner, seed, net=net, family=waves, step=alpha, rate=beta, iterations=iterations, start=None):
    g = seeded(seed, where)
    meta = learner.init(start or net.init(g))
    size = dict(tasks=tasks, iterations=iterations)
    about = dict(name=name, seed=seed, alpha=str(step), beta=rate, shots=shots, **size, code=source_key(learner, family, net))
    go = lambda resume: train(learner, meta, family, adam(rate), generator=g, **size, resume=resume)
    steps = watch(resumable(place(about), go, about=about, device=where), falling, f"The loss of {name} so far.")
    return last(progress(steps, iterations, f"{name}, seed {seed}", done=lambda s: s.iteration, note=loss_now))


runs = {"maml": [meta_train("maml", maml(loss, alpha=alpha, steps=1), s) for s in seeds]}
runs["fomaml"] = [meta_train("fomaml", fomaml(loss, alpha=alpha, steps=1), s) for s in seeds]

# %% tags=["figure"]
final = {m: torch.stack([r.losses[-500:].mean() for r in runs[m]]).mean().item() for m in runs}
fig, ax = canvas(f"After one step the loss falls to {final['maml']:.2f} with second derivatives, {final['fomaml']:.2f} without")
for method in runs:
    curves = torch.stack([smooth(r.losses) for r in runs[method]])
    draw(ax, method, torch.linspace(0, iterations, curves.shape[1]), curves.mean(0), marker="", interval=(curves.amin(0), curves.amax(0)))
ax.set(xlabel="meta-iteration", ylabel="query MSE after one step", ylim=(0, 4.5), xlim=(0, iterations * 1.16))
figure(fig, f"The training loss after one step against the meta-iteration: MAML ends near {final['maml']:.2f}, "
            f"first-order MAML near {final['fomaml']:.2f}; the band spans the seeds.")

# %% [markdown]
# ### Everything that the page compares
#
# The same outer loop trains the opponents too: *pretrained* is the joint loss of all tasks with no inner step;
# the *oracle* network is told amplitude and phase; and six more answer questions further down. This is the long cell.

# %%
def learned_alpha(loss, *, steps):
    def inner(meta, support):
        theta = {name: p for name, p in meta.items() if name != "alpha"}
        return adapt(theta, repeated(loss, support, steps), [meta["alpha"]] * steps)
    return unrolled(loss, inner, init=lambda theta: theta | {"alpha": torch.tensor(alpha, device=where)})


reused = Family(waves.noise, lambda noise: Task(waves.make(noise).support, waves.make(noise).support))
oracle_net, told_loss = mlp(3, 40, 40, 1), mse(mlp(3, 40, 40, 1).forward)
wide, deep = mlp(1, 100, 100, 1), mlp(1, 100, 100, 100, 1)
others = {
    "pretrained": (pretrain(loss, alpha=alpha, steps=1), {}),
    "oracle": (pretrain(told_loss, alpha=alpha, steps=1), dict(net=oracle_net, family=informed(waves))),
    "learned alpha": (learned_alpha(loss, steps=1), {}),
    "query is support": (maml(loss, alpha=alpha, steps=1), dict(family=reused)),
    "alpha a tenth": (maml(loss, alpha=alpha / 10, steps=1), dict(step=alpha / 10)),
    "2x100": (maml(mse(wide.forward), alpha=alpha, steps=1), dict(net=wide)),
    "3x100": (maml(mse(deep.forward), alpha=alpha, steps=1), dict(net=deep)),
}
for name, (learner, how) in others.items():
    runs[name] = [meta_train(name, learner, s, **how) for s in seeds]
theta = {name: [step.meta for step in steps] for name, steps in runs.items()}
theta["random"] = [net.init(seeded(s, where)) for s in seeds]

# %%
for name in ("maml", "fomaml", "pretrained", "oracle"):
    stacked = {k: torch.stack([p[k] for p in theta[name]]) for k in theta[name][0]}
    keep(claims.results() / "checkpoints" / f"sinusoid-{name}.safetensors", stacked,
         dict(notebook=run.notebook, profile=profile, seeds=[*seeds], alpha=alpha, iterations=iterations, axes="seed first"))

# %% [markdown]
# ## Figure 3: how far does each gradient step get?
#
# New waves, never seen in training, and 5, 10 or 20 points of each. One set of parameters per method, meta-trained with
# ten points and one step, is now given up to ten steps. The pretrained network chooses its own step size on validation
# waves, as the paper's does, from a grid of six.
#
# **What do you expect** of steps two to ten? Nobody trained for them.

# %%
KS, STEPS, GRID = (5, 10, 20), 10, (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
test = {k: sample(sinusoid(shots=k, queries=100), seeded(10_000, where), test_tasks) for k in KS}
some_tasks = max(20, test_tasks // 10)
validation = {k: sample(sinusoid(shots=k, queries=100), seeded(20_000, where), some_tasks) for k in KS}


def errors(learner, thetas, tasks, metric=on_query(loss)):
    """(seeds, tasks, steps + 1); what is not finite counts as a million."""
    found = torch.stack([evaluate(learner, theta, tasks, metric, chunk=500) for theta in thetas])
    return found.nan_to_num(nan=1e6, posinf=1e6).clamp(max=1e6)


def tuned(thetas, tasks, grid=GRID):
    """The step size with the lowest mean error after ten steps on validation tasks, and all the errors."""
    tried = {a: errors(fine_tuned(a), thetas, tasks)[..., -1].mean().item() for a in grid}
    return min(tried, key=tried.get), tried


tenfold, fine_tuned = maml(loss, alpha=alpha, steps=STEPS), lambda a: pretrain(loss, alpha=a, steps=STEPS)
error = {}
for m in ("maml", "fomaml", "query is support"):
    error[m] = {k: errors(tenfold, theta[m], test[k]) for k in progress(KS, 3, f"evaluate {m}")}
tuning = {k: tuned(theta["pretrained"], validation[k]) for k in KS}
error["pretrained"] = {k: errors(fine_tuned(tuning[k][0]), theta["pretrained"], test[k]) for k in KS}
told = {k: sample(informed(sinusoid(shots=k, queries=100)), seeded(10_000, where), test_tasks) for k in KS}
told_ten = maml(told_loss, alpha=alpha, steps=STEPS)
error["oracle"] = {k: errors(told_ten, theta["oracle"], told[k], on_query(told_loss)) for k in KS}

# %%
median = lambda e: e.median(1).values.mean(0)
LIMIT = 100.0
lost = {m: {k: (e > LIMIT).any(-1) for k, e in by_k.items()} for m, by_k in error.items()}
calm = {k: ~(lost["maml"][k] | lost["pretrained"][k]).any(0) for k in KS}
mean_of = lambda e, k: [bootstrap(e[:, calm[k], s], seeded(s)) for s in range(STEPS + 1)]
mean = {m: {k: mean_of(e, k) for k, e in error[m].items()} for m in ("maml", "pretrained")}
spread = {m: {k: e.median(1).values for k, e in by_k.items()} for m, by_k in error.items()}

# %% tags=["figure"]
fig, axes = canvas(f"K = 5: one step takes the error from {mean['maml'][5][0].value:.1f} to {mean['maml'][5][1].value:.2f}; "
                   f"ten of pretraining end at {mean['pretrained'][5][-1].value:.1f}", columns=3, sharey=True, height=3.2)
PAPER = {"maml": {1: 0.67, 5: 0.38, 10: 0.35}, "pretrained": {1: 2.41, 5: 2.23, 10: 2.19}}
for ax, k in zip(axes, KS):
    for m in ("maml", "pretrained"):
        low, high = [i.low for i in mean[m][k]], [i.high for i in mean[m][k]]
        draw(ax, m, range(STEPS + 1), [i.value for i in mean[m][k]], interval=(low, high), label="" if k != 20 else None)
    told_only = [error["oracle"][k][..., 0].mean()] * (STEPS + 1)  # the oracle before any step; fine-tuning only hurts it (C025)
    draw(ax, "oracle", range(STEPS + 1), told_only, label="" if k != 20 else None, marker="")
    ax.set(title=f"K = {k}", xlabel="gradient steps", ylim=(-0.1, 3.6), xticks=range(0, 11, 2))
for m, values in PAPER.items():
    axes[0].plot(values.keys(), values.values(), "D", markersize=8, markerfacecolor="none", markeredgecolor=LOOKS["paper"].color, markeredgewidth=1.6)
axes[0].annotate("the paper's Table 2", (5, 2.23), xytext=(3.2, 2.75), fontsize=8, color=LOOKS["paper"].color)
axes[0].set_ylabel("mean squared error, query")
figure(fig, "Three panels, K = 5, 10 and 20: the query error against gradient steps. MAML falls steeply in the first step and "
            "slowly after; pretraining falls slowly from the same height; the oracle, before any step, lies at the bottom. The paper's "
            "values at K = 5 are marked with diamonds.")

# %% tags=["fold"]
share = {k: fraction(lost["maml"][k].flatten()) for k in KS}
say(f"""
The band is a 95 % interval over seeds and tasks. Means leave out the waves on which a method diverged (error above
{LIMIT:.0f}) in any seed: for MAML **{share[5].value:.2%}** of the runs at K = 5 (interval {share[5].low:.2%} to {share[5].high:.2%}),
{share[10].value:.2%} at K = 10, {share[20].value:.2%} at K = 20. With those counted, the mean at K = 5 after ten steps is
{error['maml'][5][..., -1].mean():.3g}; the median task's error is {median(error['maml'][5])[-1]:.3f}.
Tuning chose the steps {', '.join(f'{tuning[k][0]:g} (K = {k})' for k in KS)} for the pretrained network.
""")

# %% tags=["claim"]
one = error["maml"][5][..., 1]
record(run, "C026", checks={"one step": abs(one.mean().item() - 0.67) <= 0.15}, protocol=protocol,
       here={f"MSE after {s} step{'s' * (s > 1)}": mean["maml"][5][s] for s in (1, 5, 10)} | {"per seed, 1 step": ", ".join(f"{v:.3f}" for v in one.mean(1))},
       why=f"MSE after one step is {mean['maml'][5][1]}; after 5 and 10 steps {mean['maml'][5][5].value:.2f} and {mean['maml'][5][10].value:.2f} "
           f"on the tasks that did not diverge (strong criterion {'met' if abs(mean['maml'][5][5].value - .38) <= .1 and abs(mean['maml'][5][10].value - .35) <= .1 else 'missed'}).")

# %% tags=["claim"]
ratio = {k: [over_seeds(spread["pretrained"][k][:, s] / spread["maml"][k][:, s]) for s in range(1, STEPS + 1)] for k in KS}
lowest = min((r.low if r.low == r.low else r.value) for k in KS for r in ratio[k])
best = {k: {a: e / min(tuning[k][1].values()) for a, e in tuning[k][1].items()} for k in KS}
adam_path = {k: errors(Learner(dict, fine_tune(loss, alpha=0.01, steps=STEPS), None), theta["pretrained"], test[k]) for k in KS}
p_first = [max(paired(e[:, 1] - e[:, 0])[1] for e in error["maml"][5].clamp(max=LIMIT))]
Table([
    record(run, "C027", checks={"three times at K=5": ratio[5][-1].value > 3, "everywhere lower": lowest > 1}, protocol=protocol,
           here={"ratio at step 10, K=5": ratio[5][-1], "lowest ratio, any K and step": lowest,
                 "pretrained with Adam 0.01, median at step 10, K=5": median(adam_path[5])[-1].item()},
           why=f"the median task's error is {ratio[5][-1].value:.1f} times smaller at K = 5 after ten steps, and nowhere less than {lowest:.2f} times (lower end)."),
    record(run, "C028", checks={f"K={k}": best[k][0.01 if k == 5 else 0.02] <= 1.03 for k in KS}, protocol=protocol,
           here={f"K={k}": tuning[k][0] for k in KS} | {f"error at the legend's step over the best, K={k}": best[k][0.01 if k == 5 else 0.02] for k in KS},
           why=f"tuning chose {', '.join(f'{tuning[k][0]:g}' for k in KS)} for K = 5, 10, 20."),
    record(run, "C037", protocol=protocol, here={f"median MSE, 1 and 10 steps, K={k}": f"{median(error['maml'][k])[1]:.3f}, {median(error['maml'][k])[10]:.3f}" for k in KS},
           checks={f"{b} below {a}": bool((spread["maml"][b][:, 1:] < spread["maml"][a][:, 1:]).all()) for a, b in ((10, 20), (5, 10))},
           why="after ten steps the median error is " + ", ".join("{:.3f} at K = {}".format(median(error["maml"][k])[10], k) for k in KS) + "."),
    record(run, "C036", checks={"near zero": error["oracle"][10][..., 0].mean().item() < 0.1,
                                "below MAML": all(bool((error["oracle"][k].mean((0, 1)) < error["maml"][k].mean((0, 1))).all()) for k in KS)}, protocol=protocol,
           here={"oracle network, before fine-tuning": over_seeds(error["oracle"][10][..., 0].mean(1))},
           why=f"told amplitude and phase, the network's error is {error['oracle'][10][..., 0].mean():.3f} before any step."),
    record(run, "C025", checks={f"K={k}": bool((error["oracle"][k].mean((0, 1)) < error["maml"][k].mean((0, 1))).all()) for k in KS}, protocol=protocol,
           here={f"largest oracle error over steps, K={k}": error["oracle"][k].mean((0, 1)).max().item() for k in KS},
           why="the network oracle's mean error is compared with MAML's at steps 0 to 10; fine-tuned with ten steps it "
               f"ends at {error['oracle'][5].mean((0, 1))[-1]:.3g} (K = 5), from {error['oracle'][5].mean((0, 1))[0]:.3g}."),
    *[record(run, c, checks={"query falls": p_first[0] < 0.01 and bool((error["maml"][5].clamp(max=LIMIT).mean(1)[:, 1] < error["maml"][5].mean(1)[:, 0]).all()),
                             "still lower at ten": bool((spread["maml"][5][:, -1] < spread["maml"][5][:, 0]).all())}, protocol=protocol,
             here={"query MSE, K=5, 0 and 1 step": f"{error['maml'][5][..., 0].mean():.2f}, {one.mean():.2f}", "median at 10 steps": median(error["maml"][5])[-1].item()},
             why=f"held-out error falls from {error['maml'][5][..., 0].mean():.2f} to {one.mean():.2f} in one step on five points.") for c in ("C003", "S301")],
])

# %% [markdown]
# ## Do ten steps hurt? Not the median wave; the mean is another matter
#
# The paper: the model "continues to improve with additional gradient steps, despite being trained for maximal
# performance after one gradient step", "without overfitting". Gradient descent with a fixed step is stable only where the
# loss's curvature stays below $2/\alpha$. Nothing in meta-training asks for that beyond the first step, and five points
# that happen to lie together far from zero make a steep loss. So look at every task, not only at the mean, and go on to
# a hundred steps.

# %%
LONG = budget(profile, smoke=12, quick=100, paper=100)
some = {k: tree_map(lambda t: t[: max(20, min(2_000, test_tasks // 2))], test[k]) for k in (5, 10)}
longer = {k: errors(maml(loss, alpha=alpha, steps=LONG), theta["maml"], some[k]) for k in (5, 10)}
on_own = errors(tenfold, theta["maml"], test[5], on_support(loss))
pre_own = errors(fine_tuned(tuning[5][0]), theta["pretrained"], test[5], on_support(loss))
times_alpha = (0.25, 0.5, 1.0, 2.0, 4.0)
grid = {m: errors(maml(loss, alpha=alpha * m, steps=STEPS), theta["maml"], some[10]) for m in times_alpha}

# %% tags=["figure"]
gone = (longer[5] > LIMIT).any(-1).float().mean().item()
fig, (left, right) = canvas(f"The median wave keeps improving; {gone:.1%} of the runs at K = 5 blow up within {LONG} steps", columns=2, height=3.2)
for k, line in ((5, "-"), (10, "--")):
    draw(left, "maml", range(LONG + 1), median(longer[k]), marker="", linestyle=line, label=f"K = {k}")
    draw(right, "maml", range(LONG + 1), 100 * (longer[k] > LIMIT).float().mean((0, 1)), marker="", linestyle=line, label=f"K = {k}")
left.set(xlabel="gradient steps", ylabel="median squared error", yscale="log", xlim=(0, LONG * 1.18))
right.set(xlabel="gradient steps", ylabel=f"diverged (error above {LIMIT:.0f}), %", xlim=(0, LONG * 1.18))
figure(fig, "Left: the median error over tasks falls with up to a hundred gradient steps for K = 5 and K = 10. Right: the "
            "share of runs that have diverged grows with the steps for K = 5.")

# %%
m5 = error["maml"][5]
pvalues = [holm([paired(e[:, s + 1] - e[:, s])[1] for s in range(1, STEPS)]) for e in m5]
rises = [(e.mean(0)[2:] > e.mean(0)[1:-1]).tolist() for e in m5]
worse = [[s + 2 for s, (up, p) in enumerate(zip(r, ps)) if up and p < 0.05] for r, ps in zip(rises, pvalues)]
both = [fraction((e[:, -1] > e[:, 1]) & (o[:, -1] < o[:, 1])) for e, o in zip(m5, on_own)]
stop = {k: median(longer[k])[1:].argmin().item() + 1 for k in longer}
falls = {m: all(s[1:].min() < b for s, b in zip(g.median(1).values, grid[1.0].median(1).values[:, 1])) for m, g in grid.items()}
diverged = {k: fraction((longer[k] > LIMIT).any(-1).flatten()) for k in longer}
better = {s: bool((m5[..., s].mean(1) < m5[..., 1].mean(1)).all()) for s in (5, 10)}
c029 = {"no step hurts": not any(worse), "better after five": better[5], "better after ten": better[10]}
in_first = (spread["maml"][10][:, 0] - spread["maml"][10][:, 1]) / (spread["maml"][10][:, 0] - spread["maml"][10][:, 10])
first_share = over_seeds(in_first)
shown = {f"MSE after {s} step{'s' * (s > 1)}": f"mean {m5[..., s].mean():.3g}, median {median(m5)[s]:.3f}" for s in (1, 5, 10)}

# %% tags=["claim"]
record(run, "C029", checks=c029, protocol=protocol, here=shown | {"diverged within 10 steps": share[5], "steps that hurt significantly, by seed": str(worse)},
       why=f"the mean over all waves goes from {m5[..., 1].mean():.2f} (1 step) to {m5[..., 10].mean():.3g} (10), the median from "
           f"{median(m5)[1]:.2f} to {median(m5)[10]:.2f}: {share[5].value:.2%} of the runs diverge and rule the mean.")

# %% tags=["claim"]
Table([
    record(run, "C030", checks={"few tasks overfit": max(f.high for f in both) < 0.05, "the mean does not": better[10]}, protocol=protocol,
           here={"tasks whose query error rises while support error falls, steps 1 to 10 (worst seed)": max(both)},
           why=f"on {max(both).value:.1%} of the waves ten steps fit the five points better and the wave worse than one step did."),
    record(run, "C024", checks={"a hundred steps": bool((longer[10][..., -1].mean(1) < longer[10][..., 1].mean(1)).all()), "no divergence": diverged[10].high < 0.01},
           here={"median error after 1 and the last step, K=10": f"{median(longer[10])[1]:.3f}, {median(longer[10])[-1]:.3f}", "diverged, K=10": diverged[10],
                 "diverged, K=5": diverged[5], "step with the lowest median, K=5 and 10": f"{stop[5]}, {stop[10]}"}, protocol=protocol + f"; {LONG} steps on {longer[5].shape[1]:,} tasks",
           why=f"at K = 10 the median error goes on falling until step {stop[10]} of {LONG}, and {diverged[10].value:.2%} of the runs diverge."),
    record(run, "C035", checks={"a region": all(falls[m] for m in (0.25, 0.5, 1.0, 2.0))}, protocol=protocol,
           here={f"lowest median within ten steps, alpha x {m:g}": g.median(1).values.mean(0)[1:].min().item() for m, g in grid.items()},
           why="the best of ten steps beats the one step trained for at alpha times " + ", ".join(f"{m:g}" for m in falls if falls[m]) + "."),
    record(run, "S105", checks={"one or two steps": abs(one.mean().item() - 0.67) <= 0.15, "continues": all(c029.values())}, protocol=protocol, here=shown,
           why="low error after one step holds; going on improving fails with C029." if not all(c029.values()) else "both hold."),
    record(run, "S214", checks={"most in one step": bool((in_first >= 0.8).all())},
           here={"share of the fall in step 1, median, K=10": first_share},
           protocol=protocol, why=f"of the fall of the median error in ten steps, the first makes {first_share.value:.0%}."),
])

# %% [markdown]
# ## Figure 2: half a wave, and the rest of it
#
# Five points that all lie left of zero. Can the network draw the right half? It has seen only supports spread over the
# whole range, so this is a test outside its training, and the paper shows it with three pictures. Here are all waves.
# And beyond $[-5, 5]$, where a ReLU network is a straight line: would you call what it learned *periodic*?

# %%
def halves(k, low, high, query, **width):
    family = sinusoid(shots=k, queries=100, support_range=(low, high), query_range=query, **width)
    return sample(family, seeded(30_000, where), test_tasks)


half = {k: [halves(k, -5, 0, (0, 5)), halves(k, 0, 5, (-5, 0))] for k in (5, 10)}
how = {"maml": lambda k: tenfold, "pretrained": lambda k: fine_tuned(tuning[k][0])}
half_error = {m: {k: torch.cat([errors(how[m](k), theta[m], t) for t in half[k]], 1) for k in half} for m in how}
outside = torch.cat([errors(tenfold, theta["maml"], halves(10, -5, 5, q)) for q in ((-10, -5), (5, 10))], 1)
far = torch.cat([halves(10, -5, 5, q).query.y for q in ((-10, -5), (5, 10))], 0).square().mean().item()
WIDTHS = (1.0, 2.0, 4.0, 6.0, 10.0)
clustered = {w: halves(5, -5, 5, (-5, 5), width=w) for w in WIDTHS}
cluster_error = {w: errors(tenfold, theta["maml"], t) for w, t in clustered.items()}


def amplitude(thetas, tasks, seed=30_000):
    """Amplitude of the sine fitted to each adapted curve on [-5, 5], and the truth: (seeds, tasks), (tasks,)."""
    grid = torch.linspace(-5, 5, 101, device=where)[:, None]
    curve = lambda theta, t: net.forward(tenfold.adapt(theta, t)[-1], grid).clamp(-1e3, 1e3).nan_to_num(nan=1e3)
    fitted = lambda theta, t: sine_fit(Data(grid, curve(theta, t))).norm()
    found = torch.stack([vmap(fitted, (None, 0), chunk_size=500)(theta, tasks.support) for theta in thetas])
    return found, sinusoid().noise(seeded(seed, where), len(tasks.query.x)).amplitude


def correlation(thetas, tasks):
    found, true = amplitude(thetas, tasks)
    return torch.stack([torch.corrcoef(torch.stack([f, true.double()]))[0, 1] for f in found])


corr = {k: torch.stack([correlation(theta["maml"], t) for t in half[k]]).mean(0) for k in half}
cluster_corr = {w: correlation(theta["maml"], t) for w, t in clustered.items()}

# %% tags=["figure"]
fig, axes = canvas(f"Points on one side: on the other MAML's median error ends at {median(half_error['maml'][5])[-1]:.2f}, "
                   f"beyond -5 and 5 at {median(outside)[-1]:.0f}", columns=3, sharey=True)
x = torch.linspace(-10, 10, 400)[:, None]
for i, ax in enumerate(axes):
    points = tree_map(lambda t: t[i].cpu(), half[5][0].support)
    w = tree_map(lambda t: t[i].cpu(), sinusoid(shots=5).noise(seeded(30_000, where), test_tasks))
    ax.axvspan(-10, -5, color="#e4e4e0"), ax.axvspan(5, 10, color="#e4e4e0")
    ax.plot(x, w.amplitude * torch.sin(x - w.phase), color=LOOKS["truth"].color, linewidth=1)
    for m in ("maml", "pretrained"):
        start = {k: p.cpu() for k, p in theta[m][0].items()}
        path = adapt(start, repeated(loss, points, STEPS), [alpha if m == "maml" else tuning[5][0]] * STEPS)
        draw(ax, m, x[:, 0], net.forward(path[-1], x)[:, 0], marker="", label="" if i < 2 else None)
    ax.plot(points.x, points.y, "D", color=LOOKS["truth"].color, markersize=4)
    ax.set(xlabel="x", ylim=(-8, 8), title=f"wave {i + 1} of the test seed")
axes[0].set_ylabel("y after ten steps")
figure(fig, "Three test waves with five points left of zero, and the curves of MAML and of pretraining after ten steps. The median error on the right half is "
            f"{median(half_error['maml'][5])[-1]:.2f} for MAML and {median(half_error['pretrained'][5])[-1]:.2f} for pretraining. In the grey regions outside the training range both curves are straight lines.")

# %% [markdown]
# **Turn it.** Drag the points, or choose one and move it with its sliders, until MAML fails: put all five at one place, then
# watch steps six to ten.

# %% tags=["widget"]
from mamlkit.knobs.sinusoids import sine_knobs

banked = {m: {k: p[0] for k, p in kept(BANK / "checkpoints" / f"sinusoid-{m}.safetensors")[0].items()} for m in ("maml", "pretrained")}
sine_knobs(net.forward, banked, alpha=0.01)

# %% tags=["claim"]
zero, ten = half_error["maml"][5][..., 0], half_error["maml"][5][..., -1]
c032 = {"other half": ten.mean().item() < 0.5 * zero.mean().item(), "amplitude": corr[5].mean().item() > 0.8}
record(run, "C032", checks=c032, protocol=protocol + "; supports in [-5, 0] and in [0, 5], queries on the other half",
       here={"MSE on the other half, 0 steps": over_seeds(zero.mean(1)), "after 10 steps, mean": over_seeds(ten.mean(1)), "after 10 steps, median": over_seeds(ten.median(1).values),
             "diverged": fraction((half_error["maml"][5] > LIMIT).any(-1).flatten()), "amplitude correlation, K=5": over_seeds(corr[5]), "amplitude correlation, K=10": over_seeds(corr[10]),
             "K=10: 0 and 10 steps, mean": f"{half_error['maml'][10][..., 0].mean():.2f}, {half_error['maml'][10][..., -1].mean():.3g}",
             "pretrained, K=5, 10 steps, mean": half_error["pretrained"][5][..., -1].mean().item()},
       why=f"on the half without points the mean error goes from {zero.mean():.2f} to {ten.mean():.3g} (median {median(half_error['maml'][5])[-1]:.2f}) and fitted "
           f"amplitudes correlate at {corr[5].mean():.2f} with the true ones.")

# %% tags=["claim"]
c2 = cluster_error[2.0]
Table([
    record(run, "C033", checks={"inside the range": c032["other half"], "periodic": outside[..., -1].mean().item() < 0.5 * far}, protocol=protocol,
           here={"MSE on 5 < |x| < 10 after 10 steps, K=10, mean": outside[..., -1].mean().item(), "median": median(outside)[-1].item(), "predicting zero there": far},
           why=f"outside [-5, 5] the error after ten steps is {median(outside)[-1]:.1f} for the median wave, where predicting zero costs {far:.1f}: " + ("no period was learned." if median(outside)[-1] > far else "better than nothing.")),
    record(run, "S103", checks={"full curve": c2[..., -1].mean().item() < 0.5 * c2[..., 0].mean().item(), "amplitude": cluster_corr[2.0].mean().item() > 0.8}, protocol=protocol,
           here={f"median MSE after 10 steps, width {w:g}": median(e)[-1].item() for w, e in cluster_error.items()} | {f"amplitude correlation, width {w:g}": c.mean().item() for w, c in cluster_corr.items()},
           why=f"with five points inside a width of 2 the mean error goes from {c2[..., 0].mean():.2f} to {c2[..., -1].mean():.3g}, and amplitudes correlate at {cluster_corr[2.0].mean():.2f}."),
])

# %% [markdown]
# ## Why the pretrained network cannot
#
# The joint loss of all tasks has one best answer at each $x$: the mean of $y$ over tasks, in closed form
# $-\tfrac{2 \cdot 2.55}{\pi} \cos x = -1.623 \cos x$. If pretraining worked perfectly, it would have learned exactly this
# and nothing about single waves. Adam with a constant step never comes to rest, so the networks are first trained on with
# a tenth of the step, for a seventh of the iterations. (So pretraining averages the *outputs* of the tasks. One of the articles on the paper says that
# it averages parameters.)

# %%
line = torch.linspace(-5, 5, 201, device=where)[:, None]
expected = -(2 * 2.55 / pi) * torch.cos(line)
off_mean = lambda y: (y - expected).square().mean().sqrt()
last_rmse = torch.stack([off_mean(net.forward(p, line)) for p in theta["pretrained"]])
calm = lambda s, p: meta_train("pretrained, settling", others["pretrained"][0], s, rate=beta / 10, iterations=max(1, iterations // 7), start=p).meta
learned = [net.forward(calm(s, p), line) for s, p in zip(seeds, theta["pretrained"])]
rmse = torch.stack([off_mean(y) for y in learned])

# %% tags=["figure"]
fig, ax = canvas(f"What pretraining learned is -1.623 cos x, the mean of all waves, to within {rmse.mean():.2f}")
for y in learned:
    draw(ax, "pretrained", line[:, 0].cpu(), y[:, 0].cpu(), marker="", label="" if y is not learned[0] else None)
ax.plot(line.cpu(), expected.cpu(), color=LOOKS["truth"].color, linewidth=3, alpha=0.35)
ax.set(xlabel="x", ylabel="output before any step", xlim=(-5, 6))
figure(fig, "The pretrained networks' outputs, one line a seed, lie on the wide grey curve -1.623 cos x.")

# %% tags=["claim"]
pre = error["pretrained"][5]
overfits = pre[..., -1].mean().item() > pre[..., 0].mean().item() and pre_own[..., -1].mean().item() < pre_own[..., 0].mean().item()
steps_shown = {f"MSE after {s} step{'s' * (s > 1)}": over_seeds(pre[..., s].mean(1)) for s in (1, 5, 10)}
Table([
    record(run, "C034", checks={"the mean of the tasks": bool((rmse < 0.1).all())}, protocol=protocol + f"; then {max(1, iterations // 7):,} iterations at beta / 10",
           here={"RMSE to -1.623 cos x": over_seeds(rmse), "largest of the seeds": rmse.max().item(), "before Adam's step is lowered": over_seeds(last_rmse), "before, largest of the seeds": last_rmse.max().item()},
           why=f"the pretrained output differs from the closed form by {rmse.mean():.3f} (root mean square), at most {rmse.max():.3f}; "
               f"before Adam's step is lowered, by {last_rmse.mean():.3f}, at most {last_rmse.max():.3f}."),
    record(run, "C031", checks={"overfits": overfits, "inadequate": pre[..., -1].mean().item() > 1}, here=steps_shown | {"before": over_seeds(pre[..., 0].mean(1))}, protocol=protocol,
           why=f"at the tuned step {tuning[5][0]:g} the query error goes from {pre[..., 0].mean():.2f} to {pre[..., -1].mean():.2f}: it {'rises' if overfits else 'falls slowly'}, "
               + ("overfitting." if overfits else "which is too little, not too much.")),
    record(run, "S104", checks={"fails completely": pre[..., -1].mean().item() >= pre[..., 0].mean().item(), "overfits": overfits}, here=steps_shown, protocol=protocol,
           why=f"ten tuned steps take its error from {pre[..., 0].mean():.2f} to {pre[..., -1].mean():.2f}: " + ("a start that fails." if pre[..., -1].mean() >= pre[..., 0].mean() else "a poor start that improves.")),
])

# %% [markdown]
# ## Our own question: what did the starting point learn?
#
# To first order in $\alpha$, a gradient step changes the output at $x$ by a combination of tangent kernels
# $K(x, x') = J(x)J(x')^\top$, $J = \partial f / \partial\theta$. All waves lie in the plane of $\sin x$ and $\cos x$; so a good
# starting point might be one whose kernel points along that plane. **What do you expect:** does it, and if so, is that
# the whole story, is MAML's step a kernel step?

# %%
show(linearised_step)

# %%
plane = torch.cat([torch.sin(line), torch.cos(line)], 1)
MODELS = ("maml", "fomaml", "pretrained", "random")
kernels = {m: [tangent_kernel(net.forward, p, line) for p in theta[m]] for m in MODELS}
aligned = {m: torch.stack([alignment(k, plane) for k in kernels[m]]) for m in MODELS}
thousand = tree_map(lambda t: t[:1000], test[10])


def after_step(theta, task):
    """Query error after one real step, after the linearised one, and the fall of the error per distance moved."""
    moved = inner_step(theta, lambda p: loss(p, task.support), alpha)
    linear = linearised_step(net.forward, loss, theta, task.support, alpha, task.query.x)
    distance = sum(((moved[k] - theta[k]) ** 2).sum() for k in theta).sqrt()
    before, real = loss(theta, task.query), loss(moved, task.query)
    return torch.stack([real, (linear - task.query.y).square().mean(), (before - real) / distance])


stepped = {m: torch.stack([vmap(after_step, (None, 0))(p, thousand) for p in theta[m]]) for m in MODELS}
times = {m: over_seeds(s[..., 1].mean(1) / s[..., 0].mean(1)) for m, s in stepped.items()}
turn = {m: over_seeds(aligned[m] - aligned["pretrained"]) for m in ("maml", "fomaml")}

# %% tags=["figure"]
fig, axes = canvas(f"How far the kernel points at the waves (alignment: MAML {aligned['maml'].mean():.2f}; pretrained {aligned['pretrained'].mean():.2f}; "
                   f"random {aligned['random'].mean():.2f})", columns=3, sharey=True)
for ax, m in zip(axes, ("random", "pretrained", "maml")):
    vectors = torch.linalg.eigh(kernels[m][0])[1].cpu()
    for v, style in ((vectors[:, -1], "-"), (vectors[:, -2], "--")):
        ax.plot(line[:, 0].cpu(), v, color=LOOKS[m].color, linestyle=style, linewidth=2)
    for f in (torch.sin, torch.cos):
        wave = f(line[:, 0].cpu())
        ax.plot(line[:, 0].cpu(), wave / wave.norm(), color=LOOKS["truth"].color, linewidth=0.8, alpha=0.6)
    ax.set(title=LOOKS[m].label, xlabel="x")
axes[0].set_ylabel("eigenfunction 1 (2 dashed)")
figure(fig, "The tangent kernel's first two eigenfunctions for a random, a pretrained and a MAML network, over thin lines of sin x and cos x. "
            f"The alignment with them is {aligned['random'].mean():.2f}, {aligned['pretrained'].mean():.2f} and {aligned['maml'].mean():.2f}.")

# %% tags=["claim"]
low = lambda i: i.low if i.low == i.low else i.value
agree = abs(times["fomaml"].value / times["maml"].value - 1) <= 0.25
x_protocol = protocol + "; kernel on 201 points of [-5, 5], K = 10, 1,000 tasks at most"
record(run, "X002", checks={"no": low(times["maml"]) > 2}, protocol=x_protocol, here={f"linearised / real, {m}": times[m] for m in MODELS},
       why=f"the linearised step leaves {times['maml'].value:.1f} times the error of the real one (random parameters: {times['random'].value:.2f}): "
           + ("most of the gain is in how the kernel moves during the step." if times["maml"].value > 2 else "the step is mostly a kernel step."))

# %% tags=["claim"]
sensitive = {m: stepped[m][..., 2] for m in MODELS}
wins = {m: all(paired(a - b)[1] < 0.01 and (a - b).mean() > 0 for a, b in zip(sensitive["maml"], sensitive[m])) for m in ("pretrained", "random")}
Table([
    record(run, "X001", checks={"turned": low(turn["maml"]) > 0.3}, protocol=x_protocol, here={f"alignment, {m}": over_seeds(aligned[m]) for m in MODELS} | {"MAML minus pretrained": turn["maml"]},
           why=f"alignment with the plane of sin and cos is {aligned['maml'].mean():.2f} for MAML, {aligned['pretrained'].mean():.2f} pretrained, {aligned['random'].mean():.2f} random."),
    record(run, "X003", checks={"same ratio": agree, "turned too": low(turn["fomaml"]) > 0.3}, protocol=x_protocol,
           here={"alignment, first order": over_seeds(aligned["fomaml"]), "linearised / real, first order": times["fomaml"], "linearised / real, MAML": times["maml"]},
           why=f"without second derivatives the alignment is {aligned['fomaml'].mean():.2f} and the ratio {times['fomaml'].value:.1f}, MAML's {times['maml'].value:.1f}."),
    record(run, "C010", checks={f"above {m}": wins[m] for m in wins}, protocol=x_protocol, here={f"fall of the error per unit moved, {m}": over_seeds(sensitive[m].mean(1)) for m in MODELS},
           why=f"one step lowers the error by {sensitive['maml'].mean():.1f} per unit of distance moved from MAML's parameters, {sensitive['pretrained'].mean():.1f} from pretrained, "
               f"{sensitive['random'].mean():.1f} from random ones."),
])

# %% [markdown]
# ## Any model, any loss?
#
# "Compatible with any model trained with gradient descent", says the abstract; the experiments have two kinds of network.
# Here the same `maml` meets a batch-norm ConvNet (each $x$ arrives as a picture of a bar), a GRU (each $x$ arrives as five
# increments to be summed), a Transformer and a policy; then other losses. For each: does the meta-gradient agree with
# finite differences in double precision, and does a short training help on held-out waves?

# %%
def score(forward):
    """The policy-gradient surrogate of a one-step policy with unit variance, for actions `data.x` towards the goal `data.y`."""
    def surrogate(params, data):
        reward = -(data.x - data.y) ** 2
        advantage = (reward - reward.mean()) / (reward.std() + 1e-6)
        return (0.5 * (data.x - forward(params, torch.ones_like(data.x))) ** 2 * advantage).mean()
    return surrogate


def reinforce(forward):
    """The same with actions drawn from the policy itself: `data.x` is their noise (Algorithm 3, lines 5 and 8)."""
    act = lambda params, data: forward(params, torch.ones_like(data.x)).detach() + data.x
    return lambda params, data: score(forward)(params, Data(act(params, data), data.y))


noisy = lambda g, n: (waves.noise(g, n), torch.randn(n, 2, shots, 1, generator=g, device=g.device))
goal = lambda w: (w.amplitude * torch.cos(w.phase)).expand(shots, 1)
bandit = Family(noisy, lambda n: Task(Data(n[1][0], goal(n[0])), Data(n[1][1], goal(n[0]))))
signs = Family(waves.noise, lambda n: Task(*(Data(d.x, (d.y[:, 0] > 0).long()) for d in make(n))))
conv, rnn, attention = strided_convnet(1, filters=8), gru(1, 12, 1), transformer(1, 16, 2, 1)
policy, two = mlp(1, 20, 20, 1), mlp(1, 40, 40, 2)
no_beta = lambda net, a: {name: a for name in net.init(seeded(0, where)) if "beta" not in name}
from_goal = lambda params, data: mse(policy.forward)(params, Data(torch.ones_like(data.x), data.y))
trials = {  # net, loss in training, tasks, inner step, what is measured
    "MLP": (net, loss, waves, alpha, loss),
    "ConvNet with batch norm": (conv, mse(conv.forward), pictured(waves), no_beta(conv, alpha), mse(conv.forward)),
    "GRU": (rnn, mse(rnn.forward), walked(waves), alpha, mse(rnn.forward)),
    "Transformer": (attention, mse(attention.forward), walked(waves), alpha, mse(attention.forward)),
    "policy, REINFORCE": (policy, reinforce(policy.forward), bandit, 0.1, from_goal),
    "MLP, Huber": (net, huber(net.forward), waves, alpha, loss),
    "MLP, cross-entropy": (two, cross_entropy(two.forward), signs, 0.1, cross_entropy(two.forward)),
}
short = budget(profile, smoke=3, quick=300, paper=3_000)
gap, before, after, p_value = {}, {}, {}, {}
for name, (model, objective, family, step, measured) in trials.items():
    learner = maml(objective, alpha=step, steps=1)
    trained = meta_train(name, learner, seed, net=model, family=family, step=step, iterations=short).meta
    held_out = sample(family, seeded(40_000, where), max(20, min(500, test_tasks)))
    e = evaluate(learner, trained, held_out, on_query(measured))
    before[name], after[name], p_value[name] = *e.mean(0).tolist(), paired(e[:, 1] - e[:, 0])[1]
    smooth_objective = score(model.forward) if "policy" in name else objective
    exact = maml(smooth_objective, alpha=step, steps=2)
    start, one_task = double(model.init(seeded(1, where))), double(tree_map(lambda t: t[0], held_out))
    directions = [random_direction(start, seeded(s, where)) for s in range(3)]
    gap[name] = min(finite_difference_gap(exact, start, one_task, d) for d in directions)

# %% tags=["figure"]
fell = sum(after[n] < before[n] for n in trials)
fig, ax = canvas(f"One `maml`, {len(trials)} combinations of network and loss: {fell} of them end lower after one step", height=2.8)
for i, name in enumerate(trials):
    ax.plot([before[name], after[name]], [i, i], color=LOOKS["maml"].color, linewidth=2.5)
    ax.plot(before[name], i, "o", color=LOOKS["random"].color), ax.plot(after[name], i, ">", color=LOOKS["maml"].color)
ax.set(yticks=range(len(trials)), yticklabels=list(trials), xlabel="held-out loss before (dot) and after one step (arrow head)")
ax.invert_yaxis()
figure(fig, f"For each of {len(trials)} combinations of network and loss, a line from the held-out loss before one gradient step to the loss after it; {fell} lines point to lower loss.")

# %%
improves = {name: after[name] < before[name] and p_value[name] < 0.01 for name in trials}
nets = [name for name in trials if name not in ("MLP, Huber", "MLP, cross-entropy")]
everywhere = {"finite differences": all(gap[n] < 1e-6 for n in trials), "every net improves": all(improves[n] for n in nets)}


def works(attempt):
    """Does torch do this? Errors that say that a derivative or a batching rule is missing mean no."""
    try:
        return attempt() is not None
    except RuntimeError:
        return False


cell, attend = torch.nn.GRU(1, 3, batch_first=True), torch.nn.functional.scaled_dot_product_attention
fused_gru = works(lambda: vmap(grad(lambda s: cell(s)[0].sum()))(torch.randn(2, 4, 5, 1)))
fused_attention = works(lambda: grad(lambda q: grad(lambda q: attend(q, q, q).square().sum())(q).square().sum())(torch.randn(2, 3, 5, 4)))
pooled, image = pooled_convnet(3, filters=4, channels=1, size=16), torch.randn(6, 1, 16, 16, dtype=torch.double, generator=seeded(2))
labels, start = torch.tensor([0, 1, 2, 0, 1, 2]), double(pooled.init(seeded(1)))
pool_gap = min(finite_difference_gap(maml(cross_entropy(pooled.forward), alpha=no_beta(pooled, 0.1), steps=2), start, Task(Data(image, labels), Data(image.flip(0), labels)),
                                     random_direction(start, seeded(s))) for s in range(3))
sizes = {"sinusoid net": (net, 1761), "Omniglot 5-way": (strided_convnet(5), 112_005), "Omniglot 20-way": (strided_convnet(20), 112_980),
         "no-conv": (mlp(784, 256, 128, 64, 64, 5, norm=True), 247_109), "miniImagenet": (pooled_convnet(5), 32_773)}
counted = {name: count(maml(None, alpha=alpha, steps=1).init(n.init(seeded(0)))) for name, (n, _) in sizes.items()}
same = all(maml(loss, alpha=alpha, steps=1).init(p).keys() == p.keys() for p in [net.init(seeded(0))])
show_gap = {f"gap to finite differences, {n}": f"{g:.1e}" for n, g in gap.items()}

# %% tags=["claim"]
Table([
    *[record(run, c, checks=everywhere if c == "C001" else {"any model": all(everywhere.values())}, protocol=f"{short:,} meta-iterations each; finite differences in float64 at two inner steps",
             here=show_gap | {f"held-out loss, {n}": f"{before[n]:.2f} to {after[n]:.2f}" for n in trials},
             why=f"the largest gap to finite differences is {max(gap.values()):.0e}; {sum(improves.values())} of {len(trials)} improve on held-out tasks.") for c in ("C001", "S114")],
    record(run, "C006", checks={"five architectures": everywhere["finite differences"], "fused GRU": fused_gru, "fused attention": fused_attention}, here={"fused GRU": fused_gru, "fused attention": fused_attention},
           why="written from plain operations every architecture works; torch's fused GRU "
               f"{'can' if fused_gru else 'cannot'} be batched and its fused attention {'can' if fused_attention else 'cannot'} be differentiated twice."),
    record(run, "C007", checks={"fully connected": improves["MLP"], "convolutional": improves["ConvNet with batch norm"], "recurrent": improves["GRU"] and gap["GRU"] < 1e-6},
           here={n: f"{before[n]:.2f} to {after[n]:.2f}, p {p_value[n]:.1g}" for n in ("MLP", "ConvNet with batch norm", "GRU")}, why="the recurrent case, which the paper never tries, "
           + (f"adapts from {before['GRU']:.2f} to {after['GRU']:.2f}." if improves["GRU"] else "did not adapt at this budget.")),
    record(run, "C008", checks={"squared error": improves["MLP"], "Huber": improves["MLP, Huber"], "cross-entropy": improves["MLP, cross-entropy"], "REINFORCE": improves["policy, REINFORCE"]},
           here={n: f"{before[n]:.2f} to {after[n]:.2f}" for n in ("MLP", "MLP, Huber", "MLP, cross-entropy", "policy, REINFORCE")}, why=f"{sum(improves[n] for n in ('MLP', 'MLP, Huber', 'MLP, cross-entropy', 'policy, REINFORCE'))} of 4 losses improve in one step."),
    record(run, "C016", checks={"the paper's operations": gap["MLP"] < 1e-6 and gap["ConvNet with batch norm"] < 1e-6 and pool_gap < 1e-6},
           here={"with max-pooling and softmax loss": f"{pool_gap:.1e}", "MLP": f"{gap['MLP']:.1e}", "strided convolution and batch norm": f"{gap['ConvNet with batch norm']:.1e}"},
           why=f"second derivatives of the paper's operations agree with finite differences to {max(pool_gap, gap['MLP'], gap['ConvNet with batch norm']):.0e}; PyTorch's fused GRU "
               f"{'can' if fused_gru else 'cannot'} be batched, its fused attention {'can' if fused_attention else 'cannot'} be differentiated twice."),
    *[record(run, c, checks={"nothing added": same, "counts": all(counted[n] == right for n, (_, right) in sizes.items())} if c == "C005" else {"counts": all(counted[n] == right for n, (_, right) in sizes.items())},
             here=counted, why=f"what MAML learns has the network's own names{'' if same else ' and others'} and {', '.join(f'{n:,}' for n in counted.values())} numbers.") for c in ("C005", "S111")],
])

# %% [markdown]
# ## The equations, checked
#
# Equalities that the paper and the articles on it state, as numbers: each should be zero to rounding.

# %%
T, S = 3, 6
g64 = seeded(0)
rand = lambda *shape: torch.randn(*shape, generator=g64, dtype=torch.double)
curvature = lambda m: m @ m.mT / S + 0.1 * torch.eye(S, dtype=torch.double)
A, B = curvature(rand(T, S, S)), curvature(rand(T, S, S))
c, d, t0 = rand(T, S), rand(T, S), rand(S)
bowl = lambda p, data: 0.5 * (p["t"] - data.y) @ data.x @ (p["t"] - data.y)
quadratics, here = Task(Data(A, c), Data(B, d)), {"t": t0}
eye, a = torch.eye(S, dtype=torch.double), 0.1
hessian_free = lambda K: torch.linalg.matrix_power(eye - a * A, K)
end = lambda K: c + (hessian_free(K) @ (t0 - c)[..., None])[..., 0]
closed = lambda K, power: (hessian_free(power).mT @ B @ (end(K) - d)[..., None])[..., 0]
meta_gradient = lambda learner: vmap(learner.meta_grad, (None, 0))(here, quadratics)[0]["t"]
off = lambda x, y: ((x - y).norm() / y.norm()).item()
one_step, five = (meta_gradient(maml(bowl, alpha=a, steps=K)) for K in (1, 5))
untouched = {"t": t0.clone()}
stepped_once = vmap(lambda data: inner_step(here, lambda p: bowl(p, data), a)["t"])(quadratics.support)
by_hand = t0 - a * (A @ (t0 - c)[..., None])[..., 0]
alone_gradient = lambda i: maml(bowl, alpha=a, steps=1).meta_grad(here, tree_map(lambda x: x[i], quadratics))[0]["t"]
looped = torch.stack([alone_gradient(i) for i in range(T)])

wave64 = double(tree_map(lambda t: t[0], sample(waves, seeded(3), 1)))
tanh = mlp(1, 7, 5, 1, activation=torch.tanh, weight=lambda g, shape: torch.randn(shape, generator=g) * 0.5)
start, tanh_loss = double(tanh.init(seeded(4))), mse(tanh.forward)
support_gradient = grad(lambda p: tanh_loss(p, wave64.support))
at_step = grad(lambda p: tanh_loss(p, wave64.query))(inner_step(start, lambda p: tanh_loss(p, wave64.support), 0.05))
product = grad(lambda p: dot(support_gradient(p), at_step))(start)  # H times a vector, H never formed
flat = lambda params: ravel(params)[0]
second, first_order = (flat(v(tanh_loss, alpha=0.05, steps=1).meta_grad(start, wave64)[0]) for v in (maml, fomaml))
hvp_gap = off(second, flat(at_step) - 0.05 * flat(product))
fo_gap, not_maml = off(first_order, flat(at_step)), off(first_order, second)

# %% [markdown]
# Sum or mean over tasks, sum or mean over examples, one loss or another: where do such conventions matter? With Adam
# the first does not; the others rescale $\alpha$, silently.

# %%
few = sample(waves, seeded(5), tasks)
theta0, vector, unravel = net.init(seeded(6)), *ravel(net.init(seeded(6)))


def updates(scale, eps, n=20):
    x, optimizer = vector, adam(beta, eps=eps)
    state = optimizer.init(x)
    for _ in range(n):
        g = vmap(maml(loss, alpha=alpha, steps=1).meta_grad, (None, 0))(unravel(x), few)[0]
        x, state = optimizer.update(scale * torch.cat([v.mean(0).flatten() for v in g.values()]), state, x)
    return x - vector


sum_or_mean = {eps: off(updates(25.0, eps), updates(1.0, eps)) for eps in (1e-30, 1e-8)}
logits, label = rand(10, 5), torch.arange(10) % 5
mean_loss = grad(lambda z: torch.nn.functional.cross_entropy(z, label))(logits)
authors = grad(lambda z: (torch.nn.functional.cross_entropy(z, label, reduction="none") / 2).sum())(logits)
y0 = rand(10, 1)
factor_k = off(grad(lambda y: (y - 1).square().sum())(y0), 10 * grad(lambda y: (y - 1).square().mean())(y0))
drawn = sample(waves, seeded(7), 1000)
overlap = bool((drawn.support.x[:, :, None, 0] == drawn.query.x[:, None, :, 0]).any())
reuse_costs = over_seeds(spread["query is support"][5][:, 1] - spread["maml"][5][:, 1])
alpha_learner = learned_alpha(loss, steps=1)
alpha_start = double(alpha_learner.init(net.init(seeded(8, where))))
first_task, only_alpha = double(tree_map(lambda t: t[0], test[10])), {"alpha": torch.ones((), dtype=torch.double, device=where)}
alpha_gap = finite_difference_gap(alpha_learner, alpha_start, first_task, only_alpha)
error["learned alpha"] = {5: errors(learned_alpha(loss, steps=STEPS), theta["learned alpha"], test[5])}
alpha_gain = over_seeds(error["learned alpha"][5].median(1).values[:, 1] - spread["maml"][5][:, 1])
same_update = {"same update": sum_or_mean[1e-30] < 1e-4}

# %% tags=["claim"]
Table([
    record(run, "C012", checks={"formula": off(stepped_once, by_hand) < 1e-15 * 10, "theta unchanged": bool((here["t"] == untouched["t"]).all()), "independent tasks": off(one_step, looped) < 1e-12},
           here={"inner step": f"{off(stepped_once, by_hand):.0e}", "batched against looped": f"{off(one_step, looped):.0e}"}, why=f"one step equals line 6 to {off(stepped_once, by_hand):.0e}, a batch of tasks equals separate tasks to {off(one_step, looped):.0e}."),
    *[record(run, cl, checks={"one product": hvp_gap < 1e-10}, here={"relative gap": f"{hvp_gap:.0e}"}, why=f"g - alpha H g with one explicit Hessian-vector product equals the meta-gradient to {hvp_gap:.0e}.") for cl in ("C015", "S202")],
    record(run, "C014", checks={"five steps": off(five, closed(5, 5)) < 1e-12}, here={"relative gap": f"{off(five, closed(5, 5)):.0e}"}, why=f"five inner steps give the closed form's meta-gradient to {off(five, closed(5, 5)):.0e}."),
    record(run, "S201", checks={"one step": off(one_step, closed(1, 1)) < 1e-12, "several steps": off(five, closed(5, 1)) < 1e-12},
           here={"gap, one step": f"{off(one_step, closed(1, 1)):.0e}", "gap of the single factor, five steps": off(five, closed(5, 1))},
           why=f"the factor (I - alpha H) is exact for one step; for five, using it once is off by {off(five, closed(5, 1)):.0%}: a product of five is needed."),
    record(run, "S204", checks={"identity": fo_gap < 1e-14, "not MAML": not_maml > 0.01}, here={"gap to the query gradient at theta'": f"{fo_gap:.0e}", "gap to MAML": not_maml},
           why=f"first-order MAML is the query gradient at theta' to {fo_gap:.0e}, and {not_maml:.0%} away from MAML's on a small tanh net."),
    *[record(run, cl, checks=same_update | ({"eps does not matter": sum_or_mean[1e-8] < 1e-4} if cl == "C017" else {}),
             here={"relative difference after 20 updates, no eps": f"{sum_or_mean[1e-30]:.0e}", "with eps 1e-8": f"{sum_or_mean[1e-8]:.0e}"},
             why=f"Adam divides the scale out again: without its eps, sum and mean differ by {sum_or_mean[1e-30]:.0e} in the first 20 updates; eps, beside the tiny "
                 f"first gradients of this initialisation, makes it {sum_or_mean[1e-8]:.0%}.") for cl in ("C017", "S113", "S203")],
    record(run, "C019", checks={"K times": factor_k < 1e-12, "N times": off(authors, 5 * mean_loss) < 1e-12}, here={"sum of squares over mean": "K times (10 here)", "authors' softmax loss over mean": "N times (5 here)"},
           why=f"the gradient of equation 2's sum is K times that of a mean (to {factor_k:.0e}), the authors' classification loss N times (to {off(authors, 5 * mean_loss):.0e}): so is alpha."),
    record(run, "C018", checks={"disjoint": not overlap and drawn.support.x.shape[1] == shots, "separate sets matter": (reuse_costs.low if reuse_costs.low == reuse_costs.low else reuse_costs.value) > 0}, protocol=protocol,
           here={"median MSE after 1 step, K=5, query = support in training": median(error["query is support"][5])[1].item(), "separate": median(error["maml"][5])[1].item(), "difference": reuse_costs},
           why=f"meta-training on the support itself gives {median(error['query is support'][5])[1]:.2f} after one step instead of {median(error['maml'][5])[1]:.2f}."),
    record(run, "C013", checks={"differentiable": alpha_gap < 1e-6, "at least as good": (alpha_gain.high if alpha_gain.high == alpha_gain.high else alpha_gain.value) < 0.05}, protocol=protocol,
           here={"learned alpha, by seed": ", ".join(f"{p['alpha']:.4f}" for p in theta["learned alpha"]), "median MSE after 1 step, K=5, learned minus fixed": alpha_gain, "gap to finite differences": f"{alpha_gap:.0e}"},
           why=f"one learned alpha for all parameters ends at {sum(p['alpha'].item() for p in theta['learned alpha']) / len(seeds):.3f} and changes the median error after one step by {alpha_gain.value:+.3f}."),
])

# %% [markdown]
# ## Larger networks, and how long a new wave takes
#
# Two further statements: the authors' code page says that a larger network does better, and an article says that a
# meta-learner needs "fewer examples and less time than traditional methods". Time to learn one *new* wave, that is: the
# meta-training is the price, and it stands in the record.

# %%
for name, model in (("2x100", wide), ("3x100", deep)):
    its_loss = mse(model.forward)
    error[name] = {5: errors(maml(its_loss, alpha=alpha, steps=STEPS), theta[name], test[5], on_query(its_loss))}
error["alpha a tenth"] = {5: errors(maml(loss, alpha=alpha / 10, steps=STEPS), theta["alpha a tenth"], test[5])}
larger = {name: over_seeds(error[name][5].median(1).values[:, -1] - spread["maml"][5][:, -1]) for name in ("2x100", "3x100")}
PATIENCE = budget(profile, smoke=20, quick=300, paper=1_000)
hundred = {k: tree_map(lambda t: t[:100], tasks) for k, tasks in (("validation", validation[10]), ("test", test[10]))}


def needed(thetas, tasks, step):
    """Steps until the median task's error is at most 0.5 (mean over seeds); PATIENCE + 1 where it never is."""
    middle = errors(pretrain(loss, alpha=step, steps=PATIENCE), thetas, tasks).median(1).values
    return sum(next((s for s, m in enumerate(curve) if m <= 0.5), PATIENCE + 1) for curve in middle.tolist()) / len(middle)


FASTER = (0.005, 0.01, 0.02, 0.05)
one_seed = {m: theta[m][:1] for m in ("maml", "pretrained", "random")}
chosen = {}
for m, t in progress(one_seed.items(), 3, "steps to 0.5"):
    chosen[m] = min(FASTER, key=lambda a: needed(t, hundred["validation"], a))
takes = {m: needed(t, hundred["test"], chosen[m]) for m, t in one_seed.items()}
say_steps = lambda n: f"{n:.0f}" if n <= PATIENCE else f"more than {PATIENCE}"
high = lambda i: i.high if i.high == i.high else i.value

# %% tags=["claim"]
Table([
    record(run, "C039", checks={name: high(i) < 0 for name, i in larger.items()}, protocol=protocol,
           here={f"median MSE after 10 steps, K=5, {n}": median(error[n][5])[-1].item() for n in ("maml", "2x100", "3x100", "alpha a tenth")} | {f"{n} minus 2x40": i for n, i in larger.items()},
           why=f"ten steps on five points end at {median(error['maml'][5])[-1]:.3f} (2x40), {median(error['2x100'][5])[-1]:.3f} (2x100) and {median(error['3x100'][5])[-1]:.3f} (3x100)."),
    record(run, "S302", checks={"fewer than pretrained": takes["maml"] < takes["pretrained"], "fewer than from scratch": takes["maml"] < takes["random"]}, protocol=protocol + "; first seed, 100 tasks, step size chosen on validation tasks",
           here={f"steps to an error of 0.5, {m}": say_steps(n) for m, n in takes.items()} | {"meta-training": f"{iterations:,} iterations on {iterations * tasks:,} tasks"},
           why=f"a new wave takes {say_steps(takes['maml'])} steps from MAML's start, {say_steps(takes['pretrained'])} from the pretrained and {say_steps(takes['random'])} from a random one, after {iterations * tasks:,} other waves."),
])

# %% [markdown]
# ## Appendix B: the first twelve waves, none chosen

# %% tags=["claim"]
first12 = tree_map(lambda t: t[:12], test[5])
nearer = (error["maml"][5][0, :12, -1] < error["pretrained"][5][0, :12, -1]).sum().item()
record(run, "C038", checks={"ten of twelve": nearer >= 10}, protocol=protocol, here={"MAML nearer to the wave": f"{nearer} of 12"}, why=f"after ten steps on five points MAML's curve is nearer on {nearer} of the first 12 test waves.")

# %% tags=["figure"]
fig, axes = canvas(f"The first twelve test waves, K = 5, ten steps: MAML is nearer on {nearer}", rows=3, columns=4, height=5.2, sharex=True, sharey=True)
w12 = tree_map(lambda t: t[:12].cpu(), sinusoid(shots=5, queries=100).noise(seeded(10_000, where), test_tasks))
inside = torch.linspace(-5, 5, 200)[:, None]
for i, ax in enumerate(axes.flat):
    points = tree_map(lambda t: t[i].cpu(), first12.support)
    ax.plot(inside, w12.amplitude[i] * torch.sin(inside - w12.phase[i]), color=LOOKS["truth"].color, linewidth=1)
    for m in ("maml", "pretrained"):
        path = adapt({k: p.cpu() for k, p in theta[m][0].items()}, repeated(loss, points, STEPS), [alpha if m == "maml" else tuning[5][0]] * STEPS)
        draw(ax, m, inside[:, 0], net.forward(path[-1], inside)[:, 0].clamp(-9, 9), marker="", label=("" if i % 4 < 3 else None) if i < 4 else "")
    ax.plot(points.x, points.y, "D", color=LOOKS["truth"].color, markersize=3.5)
    ax.set_ylim(-6.5, 6.5)
figure(fig, f"Twelve panels with a test wave, five points, and the curves of MAML and pretraining after ten steps. MAML is nearer to the wave on {nearer} of them.")

# %% [markdown]
# ## Appendix C: averaging parameters instead
#
# Train hundreds of regressors, each on one wave, and average their *parameters*: without regularisation, with weight
# decay, with decay towards the mean so far. A fourth form is ours: all regressors start from the same initial weights, so
# that their hidden units stay matched. **What do you expect** of an average over networks whose units are permuted?

# %%
MODELS_C, GROUP, TRAINED = budget(profile, smoke=(4, 2, 5), quick=(50, 50, 1_000), paper=(500, 50, 2_500))
AVERAGED = seeds[: budget(profile, smoke=1, quick=1, paper=3)]  # 500 networks are many
alone = sinusoid(shots=1, queries=50)
common = lambda g: net.init(seeded(77, where))
unpenalised, named = lambda weight: none, lambda mean: mean.params | {"losses": mean.losses}
forms = {  # initial weights, penalty, its weights from large to small
    "no regularisation": (net.init, unpenalised, (0.0,)), "l2": (net.init, l2, (1e-3, 3e-4, 1e-4)),
    "towards the mean": (net.init, to_mean, (1e-2, 1e-3, 1e-4)), "same start": (common, unpenalised, (0.0,))}


def regressors(form, weight, models, seed):
    """The mean parameters of `models` regressors, and beside them their "losses"."""
    how = dict(models=models, at_once=GROUP, iterations=TRAINED)
    groups = lambda: average(forms[form][0], loss, alone, same_wave, adam(0.003), penalty=forms[form][1](weight),
                             generator=seeded(seed, where), compiled=profile == "paper", **how)
    mean = lambda: last(progress(groups(), models // GROUP, f"{form} {weight:g}, seed {seed}"))
    return remembered(dict(name=f"average {form}", weight=weight, seed=seed, **how, code=source_key(average, alone, net)), lambda: named(mean()), where)


def magnitude(form):
    """The largest weight with which the median regressor still gets below 0.02, else the smallest."""
    *larger, smallest = forms[form][2]
    return next((w for w in larger if regressors(form, w, GROUP, 99)["losses"].median() < 0.02), smallest)


weights = {form: magnitude(form) for form in forms}
averages = {form: [regressors(form, weights[form], MODELS_C, s) for s in AVERAGED] for form in forms}
individual = torch.cat([a.pop("losses") for form in forms for a in averages[form]][: len(AVERAGED)]).cpu()
tuned_c = {form: tuned(averages[form], validation[5]) for form in forms}
for form in forms:
    error[form] = {5: errors(fine_tuned(tuned_c[form][0]), averages[form], test[5])}

# %% tags=["figure"]
of_one = {name: error[name][5][..., 1].clamp(max=LIMIT).mean().item() for name in ("maml", *forms)}
TABLE2 = {"maml": (0.67, 0.38, 0.35), "pretrained": (2.41, 2.23, 2.19), "no regularisation": (4.19, 3.85, 3.69), "l2": (7.18, 5.69, 5.60), "towards the mean": (2.91, 2.72, 2.71)}
fig, ax = canvas(f"Table 2 at K = 5, one step: averages of parameters at {min(of_one[f] for f in forms):.1f} or more, MAML at {of_one['maml']:.2f}", height=3.2)
for i, name in enumerate(("maml", "pretrained", *forms)):
    ax.plot([error[name][5][..., s].clamp(max=LIMIT).mean().item() for s in (1, 5, 10)], [i - 0.15, i, i + 0.15], "o-", color=LOOKS["maml" if name == "maml" else "pretrained"].color, markersize=5)
    if name in TABLE2:
        ax.plot(TABLE2[name], [i - 0.15, i, i + 0.15], "D", markerfacecolor="none", markeredgecolor=LOOKS["paper"].color, markeredgewidth=1.5)
ax.set(yticks=range(2 + len(forms)), yticklabels=["MAML", "pretrained", *forms], xlabel="MSE after 1, 5, 10 steps (top to bottom); diamonds: the paper", xscale="log")
ax.invert_yaxis()
figure(fig, "For MAML, pretraining and four forms of parameter averaging: the error after 1, 5 and 10 steps here and in the paper's Table 2.")

# %% tags=["claim"]
at = lambda name, s: error[name][5][: len(AVERAGED), :, s].clamp(max=LIMIT).mean().item()
lowest_average = min(at(f, 1) for f in forms)
c_protocol = protocol + f"; {MODELS_C} regressors of {TRAINED:,} steps on 50 fresh points, {GROUP} side by side, {len(AVERAGED)} seeds, penalties " + ", ".join(f"{f} {w:g}" for f, w in weights.items() if w)
c_run = run._replace(seeds=[*AVERAGED])
Table([
    record(c_run, "C040", checks={"median": individual.median().item() < 0.02, "all of them": individual.max().item() < 0.02}, protocol=c_protocol,
           here={"median error": individual.median().item(), "largest": individual.max().item(), "share below 0.02": fraction(individual < 0.02)},
           why=f"the median regressor's error is {individual.median():.3f}, the largest {individual.max():.2g}; {(individual < 0.02).float().mean():.0%} are below 0.02."),
    record(c_run, "C041", checks={f: all(at(f, s) > at("pretrained", s) for s in (1, 5, 10)) for f in ("no regularisation", "l2", "towards the mean")}, protocol=c_protocol,
           here={f"{f}, {s} step{'s' * (s > 1)}": at(f, s) for f in ("pretrained", *forms) for s in (1, 5, 10)},
           why="after one step: " + ", ".join(f"{f} {at(f, 1):.2f}" for f in ("pretrained", *forms)) + "."),
    record(c_run, "C042", checks={"below all": at("maml", 1) < lowest_average}, protocol=c_protocol, here={"MAML": at("maml", 1), "best average": lowest_average},
           why=f"after one step MAML's error is {at('maml', 1):.2f}, the best average's {lowest_average:.2f}."),
    record(c_run, "S101", checks={"averages parameters": at("pretrained", 1) >= lowest_average}, protocol=c_protocol, here={"pretrained, 1 step": at("pretrained", 1), "best average of parameters": lowest_average},
           why=f"pretraining averages outputs; the average of parameters is a different, {'worse' if at('pretrained', 1) < lowest_average else 'better'} point ({lowest_average:.2f} against {at('pretrained', 1):.2f} after one step)."),
])

# %% [markdown]
# ## Try it
#
# - Set `alpha = 0.001`, the default of the authors' code, in the parameters cell: one step then does much less, and the
#   first-order version comes closer to the exact one.
# - Set `shots = 5`: training then practises exactly the K = 5 test, and the error after one step on five points should
#   fall. Does the share of runs that blow up fall as well?
# - Set `profile = "paper"`: the paper's budget. It goes on where it was interrupted.
#
# Headless, with any of these: `python -m mamlkit run 01_sinusoids -p alpha=0.001 -p profile=quick`.
# [Start](00_start.ipynb) · next: [what is true](07_scoreboard.ipynb)
