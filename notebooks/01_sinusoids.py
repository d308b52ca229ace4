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
# A sine wave has two unknowns, its amplitude and its phase. Show five points of a new wave to a
# network of 1,761 weights and let it take **one** gradient step. Finn, Abbeel & Levine (2017,
# section 5.1) say that the network can then draw the wave, if its starting point was
# meta-learned, and that an ordinary pretrained network cannot. This chapter asks whether that
# holds, where it stops holding, and why.

# %% tags=["figure"]
from mamlkit.audit.sinusoid_evidence import TABLE2, banked, figure3
from mamlkit.show import sinusoids as pictures
from mamlkit.show.literate import figure, say

bank = banked()
maml, pretrained, lost = bank["maml"], bank["pretrained"], bank["maml"].lost("K=5")
panels = figure3(bank)
ours, theirs = (panels[5][m].mean(0) for m in ("maml", "pretrained"))
title = f"One step: MAML's error goes from {ours[0]:.1f} to {ours[1]:.2f}, "
title += f"the pretrained network's to {theirs[1]:.1f}"
alt = f"Figure 3, for 5, 10 and 20 points. {title}. The paper's values at K = 5 are diamonds."
figure(pictures.gradient_steps(panels, TABLE2, title), alt)
say(f"""
*The paper's budget: 70,000 meta-iterations, {len(maml.seeds)} seeds (the band spans them), 10,000
test waves a seed. Means are over the runs whose error stays below 100. Of MAML's runs at K = 5,
{100 * lost.value:.2f} % do not.*

**What we found.** The first step does what the paper says: from {ours[0]:.2f} to {ours[1]:.2f},
where the paper has 0.67. **What surprised us.** The steps after it do not: after five MAML's mean
error is {ours[5]:.2f} where the paper has 0.38. Ten steps improve nearly every wave and blow up a
few, and after the first step one can say which.
""")

# %% [markdown]
# ## Try it first
#
# **Run this cell; nothing is trained.** Drag the five points. Then put them all on one side of
# zero, or all in one place, and press play: which curve still knows the rest of the wave, and
# which one blows up on the way?

# %% tags=["widget"]
from mamlkit.bank.experiment import load
from mamlkit.knobs.sinusoids import sine_knobs
from mamlkit.studies.sinusoids import FIGURE3, NET

kept = load(FIGURE3)
starts = {m: kept[f"{m}-0"].params for m in ("maml", "pretrained")}
sine_knobs(NET.forward, starts, alpha=0.01)

# %% [markdown]
# ## The task, the network, the algorithm
#
# A task is one wave $y = A \sin(x - \varphi)$ with $A$ uniform in $[0.1, 5]$ and $\varphi$ in
# $[0, \pi]$. Inputs are uniform in $[-5, 5]$. The network has two hidden layers of 40 ReLUs.
# Meta-training (the paper's Algorithm 1) looks for parameters $\theta$ from which one step on ten
# *support* points of a task,
#
# $$\theta_i' = \theta - \alpha \nabla_\theta L_{T_i}(\theta) \qquad\text{(line 6)},$$
#
# leaves a small loss on ten *query* points of the same task. Line 8 differentiates that loss
# through the step:
#
# $$\theta \leftarrow \theta - \beta \nabla_\theta \sum_i L_{T_i}(\theta_i').$$
#
# That is all of it. The three functions below are the ones that ran. `inner_step` is line 6,
# `maml` repeats it, and `unrolled` makes the meta-gradient of line 8. None of them knows what a
# sine is.

# %% tags=["imports"]
import torch

from mamlkit.audit.claims import claim
from mamlkit.audit.intervals import over_seeds
from mamlkit.inner import inner_step
from mamlkit.learner import unrolled
from mamlkit.machine import choose_device, seeded
from mamlkit.show.literate import progress, show
from mamlkit.studies.sinusoid_methods import first_waves
from mamlkit.studies.sinusoids import TUNED, steps
from mamlkit.variants.maml import maml as maml_learner

ALPHAS = {"maml": 0.01, "pretrained": TUNED["alpha K=5"]}

# %%
show(inner_step, maml_learner, unrolled)

# %% [markdown]
# ## How far does each gradient step get?
#
# One set of parameters per method was meta-trained with ten points and one step. The figure at
# the top of the page gives it new waves, 5, 10 or 20 points of each, and up to ten steps. The
# pretrained network has the same size and saw the same tasks. It was trained on all of them at
# once, without an inner step, and it chooses the size of its steps on validation waves. The
# oracle is told amplitude and phase and takes no step.
#
# **What do you expect** of a network that was trained with ten points and is shown five? And of
# steps two to ten, for which nobody trained?
#
# The first step carries over to five points and to twenty, and makes most of the fall.
# Pretraining needs every one of its ten steps for what little it gains, even with the step size
# that suits it best, and Adam instead of plain gradient descent does not rescue it. So the
# starting point matters far more than the number of steps.
#
# Three things in this figure are easy to get wrong. First, the error before any step is not the
# variance of the waves. A network that knows nothing of the task can still answer with the mean
# of all waves, which leaves an error of 3.006; an error clearly below that before any step would
# mean that something leaks. Second, the paper's 0.67 belongs to $\alpha = 0.01$. The authors'
# code has 0.001 as its default. Third, the loss is a *mean* over points here and in the authors'
# code, where equation 2 writes a sum. Summing ten points would make every inner step ten times as
# long.
#
# The oracle stands for what is possible. We do not fine-tune it. It was trained without inner
# steps, and its loss curves so sharply that MAML's step size makes most of its runs diverge. Read
# as in the paper, before any step, it is a bound that MAML does not reach with ten points, nor
# with twenty.

# %% tags=["claim"]
claim("C026", "C027", "C028", "C036", "C025", "C037", "S214", "C003")

# %% [markdown]
# ## Do ten steps hurt?
#
# The paper says that the model "continues to improve with additional gradient steps, despite
# being trained for maximal performance after one gradient step". Look at the first panel again:
# with five points the blue line has a hump, and comes down later than the paper's. **What do you
# expect:** do many waves get a little worse, or a few of them a lot?

# %% tags=["figure"]
long = {f"K = {k}": 100 * maml.tests[f"K={k} long lost"].double().mean(0) for k in (5, 10)}
long = {label: lost / maml.tests["K=5 long tasks"][0] for label, lost in long.items()}
sizes = (0.25, 0.5, 1.0, 2.0, 4.0)
by_alpha = {
    a: {f"K = {k}": 100 * maml.lost(f"K={k} alpha x {a:g}").value for k in (5, 10)} for a in sizes
}
better = over_seeds(maml.tests["K=5 better"][:, 10])
hundred = maml.lost("K=5 long")
title = f"K = 5: {100 * hundred.value:.1f} % of the runs blow up in a hundred steps, "
title += f"{by_alpha[2.0]['K = 5']:.0f} % in ten at twice the alpha"
figure(
    pictures.share_lost(long, by_alpha, title),
    f"The share of diverged runs. Left: against gradient steps to a hundred, {hundred.value:.2%} "
    "in the end at K = 5. Right: within ten steps against alpha; it grows above the trained one.",
)

# %% tags=["fold"]
say(f"""
*MAML at the paper's budget, {len(maml.seeds)} seeds, 2,000 of the test waves each.*

A few get much worse. Ten steps fit **{better.value:.0%}** of the waves better than one step does,
and the median error falls from {maml.median("K=5")[:, 1].mean():.2f} to
{maml.median("K=5")[:, 10].mean():.2f}; but **{lost.value:.2%}** of the runs end above an error of
100 ({lost.low:.2%} to {lost.high:.2%}), most of them by factors that no mean survives. Nearly all
of them do so within the first ten steps, and a larger alpha makes it worse at once.
""")

# %% [markdown]
# This is why every number on this page comes with two others. The share of runs that diverge is a
# number of its own. The mean is over the runs that do not. The median is over all. A mean that
# includes a diverged run says only where one chose to cut: with a cut at a hundred, at ten
# thousand or at a hundred million it has three different values.
#
# **What the paper could not see.** Its curves are means over 600 waves of ten query points each,
# from one training. At our rate about two of 600 waves diverge, and a diverged wave would have
# been plain to see. Whether the authors drew none, had a gentler seed, or used what their code
# has today is not known. Their way of stopping early, on validation waves, may also have picked a
# calmer network.

# %% tags=["claim"]
claim("C029", "C030", "C024", "C035")

# %% [markdown]
# ## Who blows up?
#
# Gradient descent with step size $\alpha$ shrinks the error along a direction of curvature
# $\lambda$ by the factor $1 - \alpha\lambda$. It is stable while $\lambda < 2/\alpha$, and above
# that each step overshoots by more than it corrects. On a task's $K$ points the largest curvature
# of the squared error is, to the Gauss-Newton approximation, the largest eigenvalue of
# $\tfrac{2}{K} J J^\top$, with $J$ the derivatives of the $K$ outputs. We call it the
# *sharpness*. Nothing in meta-training looks at a second step, so nothing keeps the sharpness
# after the first below $2/\alpha$.
#
# **What do you expect:** where does the sharpness of MAML's starting point lie, far below
# $2/\alpha$ or near it? And does it tell, after one step, which runs will diverge?

# %% tags=["figure"]
sharp, gone = maml.tests["blow-up sharpness"], maml.tests["blow-up diverges"].bool()
after, edge = sharp[:, 1].flatten(), 2 / 0.01
below = int((gone.flatten() & (after < edge)).sum())
title = f"{int(gone.sum())} of {gone.numel():,} runs diverge: "
title += f"after one step {below or 'none'} of them lay below the edge"
figure(
    pictures.who_diverges(after, gone.flatten(), edge, title),
    f"Left: the sharpness after one step, of runs that diverge and of the others; {below} of the "
    "former lie below 2 / alpha. Right: the share that diverges grows with that sharpness.",
)

# %% tags=["fold"]
start = over_seeds(maml.tests["edge K=10"][:, 0, 1])
calm = over_seeds(pretrained.tests["edge K=10"][:, 0, 1])
say(f"""
*MAML at the paper's budget, {len(maml.seeds)} seeds, 10,000 waves a seed that no other figure
uses, K = 5.*

At the starting point the median of $\\alpha\\lambda/2$ over waves is **{start.value:.2f}** with
the ten points that MAML was trained with, so its sharpness is {start.value * edge:.0f} where the
edge is {edge:.0f}; the pretrained network's is {calm.value * edge:.0f}. Meta-training makes the
loss as steep as one step can bear. After that step sharpness tells the diverging runs from the
others almost perfectly. Being past the edge is necessary, not sufficient:
{((after > edge) & ~gone.flatten()).double().mean():.0%} of all runs are past it and come back.
""")

# %% [markdown]
# **Turn it.** Run this cell; nothing is trained. The small upper panel shows $\alpha\lambda/2$ at
# every step of one wave, with the edge at 1. Drag $\alpha$ until the first two dots pass the edge,
# and watch what step two does to the curve. Then let the button find waves that blow up at the
# trained $\alpha$, and make it smaller: at a little more than half of it all that we tried come to
# rest.

# %% tags=["widget"]
from mamlkit.bank.experiment import load
from mamlkit.knobs.sharpness import sharpness_knobs
from mamlkit.studies.sinusoids import FIGURE3, NET

sharpness_knobs(NET.forward, load(FIGURE3)["maml-0"].params, alpha=0.01)

# %% [markdown]
# That a starting point sits at the edge makes sense. One step has to move the curve by up to five
# units, and the step has a fixed size, so the gradient must be steep: a step of a given length
# changes the outputs most where the sharpness is largest, and a sharpness much above $2/\alpha$
# would overshoot in the first step already. Plain training is known to end at the edge of
# stability of its *own* step size (Cohen et al. 2021). Here it is the edge of the *inner* step,
# which meta-training takes only once. Guiroy et al. (2019) and Abbas et al.
# (2022) look at how flat adapted solutions are.
#
# Whether it is the inner step's doing can be asked: train with half the step, and with twice.

# %% tags=["fold"]
from mamlkit.audit.blow_up import ALPHAS as TRAINED
from mamlkit.audit.blow_up import edge as reach

at = {a: reach(bank[name]) for a, name in TRAINED.items()}
off = [(a, x.item()) for a, found in at.items() for x in found if not 0.85 <= x <= 1.2]
say(f"""
| $\\alpha$ in training | sharpness at the start | the edge, $2/\\alpha$ | $\\alpha\\lambda/2$ |
|---|---|---|---|
"""
+ "\n".join(
    f"| {a:g} | {2 * x.mean() / a:.0f} | {2 / a:.0f} | {x.mean():.2f} |" for a, x in at.items()
)
+ f"""

*{len(at[0.01])} seeds each, the paper's budget, medians over 1,000 waves with ten points.*

A quarter of the step goes with {0.02 / 0.005 * at[0.005].mean() / at[0.02].mean():.1f} times the
sharpness: where the edge is, meta-training goes. First-order MAML, which never sees a second
derivative, ends at {reach(bank["fomaml"]).mean():.2f}. We had asked that every one of the
{sum(map(len, at.values()))} networks lie between 0.85 and 1.2. {len(off)} of them
do{"es" * (len(off) == 1)} not ({", ".join(f"{x:.2f} with alpha {a:g}" for a, x in off)}), so by
the letter our answer is no.
""")

# %% [markdown]
# The remedy is one line: limit $\alpha$ to one over the sharpness of the points at hand. It costs
# a $K \times K$ eigenvalue problem for each step.

# %% tags=["fold"]
limited, plain = maml.lost("limited"), maml.lost("blow-up")
means = {test: maml.mean(test)[:, -1].mean() for test in ("blow-up", "limited")}
medians = {test: maml.median(test)[:, -1].mean() for test in means}
say(f"""
With alpha limited so, **{limited.value:.2%}** of the runs diverge instead of {plain.value:.2%}.
It has a price: the first step, the long one that meta-training counted on, is cut short as well.
After ten steps the median error is {medians["limited"]:.2f} instead of {medians["blow-up"]:.2f},
the mean of the runs that do not diverge {means["limited"]:.2f} instead of {means["blow-up"]:.2f}.
""")

# %% tags=["claim"]
claim("X006", "X007", "X008")

# %% [markdown]
# ## Half a wave, and the rest of it
#
# The paper's Figure 2 shows three waves whose points all lie on one side. Can the network draw
# the other side? It was trained with supports spread over the whole range, so this is a test
# outside its training. And beyond $[-5, 5]$, where a ReLU network is a straight line: **would you
# call what it learned periodic?**

# %% tags=["figure"]
x = torch.linspace(-10, 10, 401)[:, None]
left = dict(support_range=(-5.0, 0.0), query_range=(0.0, 5.0))
first = {"maml": maml.params[0], "pretrained": pretrained.params[0]}
three = first_waves(first, ALPHAS, x, 3, seed=30_000, **left)
other, far = maml.median("half K=5")[:, -1].mean(), maml.median("outside")[:, -1].mean()
title = (
    f"On the other half MAML's median error ends at {other:.2f}; beyond −5 and 5 it is {far:.0f}"
)
fig, axes = pictures.waves_and_curves(three, x, title, 1, 3, 3.0)
for ax in axes:
    ax.axvspan(-10, -5, color="#e9e9e4"), ax.axvspan(5, 10, color="#e9e9e4")
    ax.set_xlabel("x")
figure(fig, f"Three waves, five points left of zero, curves after ten steps. {title}.")

# %% tags=["fold"]
ranks = over_seeds(maml.tests["half K=5 correlations"][:, 2])
gone_half = maml.lost("half K=5")
say(f"""
*The first three waves of the test seed, none chosen; numbers: {len(maml.seeds)} seeds, 20,000
waves each.*

Inside the range, yes: the median error on the half without points falls from
{maml.median("half K=5")[:, 0].mean():.2f} to {other:.2f}, and the amplitudes of fitted curves
follow the true ones (correlation of ranks {ranks.value:.2f}); {gone_half.value:.1%} of the runs
diverge. Outside, no: predicting zero would cost {maml.tests["outside zero"].mean():.1f} there,
and the median wave's error is {far:.0f}. It learned waves on $[-5, 5]$, and no period.
""")

# %% [markdown]
# How close together may five points lie? The claim below (from an article about the paper) says
# "clustered on one region". We put all five into an interval of a given width, at a random place.
# The narrower it is, the less the points say about the rest of the wave, and the more runs
# diverge: points that nearly coincide make one direction of the loss steep. The median error
# still falls at every width we tried.

# %% tags=["claim"]
claim("C032", "C033", "S103")

# %% [markdown]
# ## Why the pretrained network cannot
#
# The joint loss of all tasks has one best answer at each $x$: the mean of $y$ over tasks.
# Amplitude and phase are independent, the mean amplitude is 2.55, and the mean of $\sin(x -
# \varphi)$ over $\varphi \in [0, \pi]$ is $-\tfrac{2}{\pi}\cos x$. So the best answer is
#
# $$\mathbb{E}[y \mid x] = -\tfrac{2 \cdot 2.55}{\pi} \cos x = -1.623 \cos x .$$
#
# **What do you expect:** does a network of 1,761 weights, trained on waves of every phase, really
# become a cosine?

# %% tags=["figure"]
from mamlkit.audit.places import LINE, mean_of_tasks, off_mean
from mamlkit.studies.sinusoids import NET

networks = bank.get("settled", pretrained)
outputs = [NET.forward(p, LINE) for p in networks.params]
gap = off_mean(networks)
title = f"Pretraining learned the mean of all waves, −1.623 cos x, to within {gap.mean():.2f}"
figure(
    pictures.mean_of_tasks(LINE, mean_of_tasks(LINE), outputs, title),
    "The pretrained networks' outputs before any step, one line a seed, on the curve -1.623 cos x.",
)
settled = (
    "settled with a tenth of Adam's step" if "settled" in bank else "as the last update left them"
)

# %% tags=["fold"]
say(f"""
*The paper's budget, {len(networks.seeds)} seeds, {settled}.*

It does, to {gap.mean():.3f} (root mean square, at most {gap.max():.3f}). Pretraining averages the
*outputs* of all tasks, and nothing about a single wave is left in them; fine-tuning starts from a
curve that is wrong for every wave.
""")

# %% [markdown]
# The paper calls what follows "catastrophic overfitting". That is not what we see: at its tuned
# step the pretrained network's error on new points *falls*, as the orange line at the top of
# the page shows. It adapts too little, not too much. The effect is the one that the paper claims, a
# start from which five points lead nowhere; the reason that it gives is another.
#
# How much longer would it take? From MAML's start the median wave is learned to an error of a
# half in a single step, and from the pretrained start only after hundreds; the last card below has
# the numbers. That saving was paid for in advance: 70,000 meta-batches of 25 waves went before.

# %% tags=["claim"]
claim("C034", "C031", "S104", "S302")

# %% [markdown]
# ## What did the starting point learn?
#
# This question is ours. To first order in $\alpha$ a gradient step changes the output at $x$ by a
# combination of tangent kernels $K(x, x') = J(x)J(x')^\top$. All waves lie in the plane of $\sin
# x$ and $\cos x$. So a good starting point might be one whose kernel points along that plane:
# whatever the points say, the step can then only add waves. **What do you expect:** does it, and
# is that the whole story?

# %% tags=["figure"]
from mamlkit.audit.kernels import PLANE
from mamlkit.probes.tangent_kernel import alignment, tangent_kernel

shown = {
    m: tangent_kernel(NET.forward, bank[m].params[0], LINE)
    for m in ("random", "pretrained", "maml")
}
aligned = {
    m: sum(alignment(tangent_kernel(NET.forward, p, LINE), PLANE).item() for p in bank[m].params)
    / len(bank[m].params)
    for m in shown
}
title = f"MAML's kernel points at the waves: alignment {aligned['maml']:.2f}, "
title += f"pretrained {aligned['pretrained']:.2f}"
figure(
    pictures.eigenfunctions(LINE, shown, aligned, title),
    f"The tangent kernel's first two eigenfunctions over sin x and cos x. {title}.",
)

# %% tags=["fold"]
say(f"""
*Seed 0 drawn; alignments are means over {len(maml.seeds)} seeds at the paper's budget. Wide grey
lines: sin x and cos x.*

What to see: the random network's eigenfunctions are a constant and a jump at zero, the pretrained
network's live at the two ends of the range, and MAML's two are nearly a cosine and a sine. One
step from MAML's start moves the curve within the plane of waves.
""")

# %% [markdown]
# It is not the whole story. If it were, a step would do what the kernel says, and we can compute
# exactly that: the *linearised* step, in which the kernel stays where it was. From MAML's start
# it leaves several times the error of the real step. From a random start the two are equal, and
# from the pretrained one nearly. So most of what MAML's one step achieves comes from how the
# kernel *moves during the step*: the step is long, the network is bent, and meta-training has
# shaped the bend. That is the same fact as the edge of stability, seen from the other side.
#
# First-order MAML drops the second derivatives and never sees how the gradient moves. Its kernel
# turns towards the waves all the same. Whether its step gains as much from moving the kernel,
# five seeds cannot decide.

# %% tags=["claim"]
claim("X001", "X002", "X003", "C010")

# %% [markdown]
# ## Twelve waves, none chosen
#
# The paper's appendix B shows a random sample. Here are the first twelve waves of our test seed
# after ten steps on five points. **What do you expect:** on how many is MAML nearer?

# %% tags=["figure"]
inside = torch.linspace(-5, 5, 201)[:, None]
ends = [m.tests["first twelve"][0, :, -1] for m in (maml, pretrained)]
nearer = int((ends[0] < ends[1]).sum())
twelve = first_waves(first, ALPHAS, inside, 12)
title = f"The first twelve test waves, K = 5, ten steps: MAML is nearer on {nearer}"
fig, _ = pictures.waves_and_curves(twelve, inside, title, 3, 4, 5.4)
figure(fig, f"Twelve panels: wave, points, MAML's and the pretrained curve. {title}.")

# %% tags=["fold"]
say(f"""
*Seed 0 at the paper's budget.* On {nearer} of them. Where MAML misses, look at the points: they
lie close together, or all in one valley.
""")

# %% tags=["claim"]
claim("C038")

# %% [markdown]
# ## Averaging parameters instead
#
# The paper's appendix C asks whether MAML merely finds the mean of the best parameters of all
# waves. It trains 500 regressors, each on one wave, and averages their *parameters*: without
# regularisation, with weight decay, and with decay towards the mean so far. Hidden units have no
# names, so the average of two good networks need not be a good network. We find, as the paper
# does, that every such average adapts worse than the pretrained network, and far worse than MAML.
# The order of the three forms among themselves is not the paper's. A fourth form is ours: all
# regressors start from the same weights, so that their units stay matched. It is the best of the
# four, and still worse than pretraining.

# %% tags=["claim"]
claim("C041", "C042")

# %% [markdown]
# ## Other ways to learn from ten points
#
# Section 4 names methods that learn something else than a starting point: an *optimiser* that is
# itself a network and decides every step (Andrychowicz et al. 2016); a *hypernetwork* that reads
# the points and writes the weights (Ha et al. 2017); and random starts whose scales are fitted to
# the data (Krähenbühl et al. 2016). The paper compares itself with none of them. On sine waves all
# three run in minutes. **What do you expect:** is a gradient step needed at all?

# %% tags=["fold"]
from mamlkit.nets import count
from mamlkit.studies.sinusoid_rivals import HYPER

own, ten = (
    {k: bank[name].median(f"K={k}")[:, -1].mean() for k in (5, 10)}
    for name in ("hypernetwork", "maml")
)
say(f"""
It is not. A hypernetwork that is trained on as many waves as MAML writes networks whose median
error is **{own[5]:.2f}** from five points, where MAML has {ten[5]:.2f} after ten gradient steps,
and {own[10]:.2f} from ten points, where MAML has {ten[10]:.2f}. None of them diverges. It has its
price: {count(HYPER.init(seeded(0))):,} parameters instead of {count(NET.init(seeded(0))):,}, and
what it learned is to read points of such waves. MAML's procedure is the same for images and for
robots. That is the paper's case for it, and on waves alone it is not the best there is.
""")

# %% [markdown]
# The first card asks the same of a learned optimiser. From a random start it does not get there.

# %% tags=["claim"]
claim("X030", "X031", "X032")

# %% [markdown]
# What else is said about this section, by the paper and by articles on it, stands in [the fine
# print](09_fine_print.ipynb): any model and any loss, the equations as numbers, larger networks,
# parameter counts, and sentences that repeat one of the claims above.
#
# ## Run it yourself
#
# The cell below trains MAML for the first few thousand of the 70,000 iterations, with the banked
# run's settings. With the parameters as they stand it *is* the beginning of the banked run, and
# says how far the two agree. Change one, and it is another run, drawn over the banked curve.

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # draws the initial weights and the waves; 0 or more
device: str = "cpu"  # where it runs; one of auto, cpu, cuda, cuda:N
alpha: float = 0.01  # the inner step size; above 0
beta: float = 0.001  # the meta step size of Adam; above 0
shots: int = 10  # support points in training, the paper's K; 1 or more
tasks: int = 25  # waves in a meta-batch; 1 or more

# %%
from mamlkit.bank.budget import budget
from mamlkit.bank.experiment import follows

reference = kept.get(f"maml-{seed}", kept["maml-0"])
changed = dict(seed=seed, alpha=alpha, beta=beta, shots=shots, tasks=tasks)
setting = reference.setting | changed
n = budget(profile, smoke=10, quick=4_000, paper=70_000)
for step in progress(
    steps(setting, None, n, choose_device(device)), n, "MAML", done=lambda s: s.iteration
):
    losses = step.losses

# %% tags=["figure"]
from mamlkit.bank.experiment import EACH
from mamlkit.show.plots import means, your_run

kept_one_by_one, later = (reference.measured[k] for k in ("losses", "later losses"))
known, now = torch.cat([means(kept_one_by_one, EACH), later]), losses[-EACH:].mean()
title = f"After {len(losses):,} iterations your loss is {now:.2f}"
figure(
    your_run(title, known, losses, each=EACH),
    f"Your run's loss, pale, over the banked run's: {now:.2f} after {len(losses):,} iterations.",
)
say(follows(losses, reference, setting, exact=100))  # five updates show no curvature

# %% [markdown]
# **Three things to try**, and what should happen:
#
# - `alpha = 0.001`, the default of the authors' code. One step does less, and the loss ends
#   higher for a long time: with a step ten times shorter the network needs gradients ten times
#   steeper.
# - `shots = 5`. Training practises exactly the K = 5 test. The loss is higher throughout, because
#   five points say less, and the network that comes of it is gentler at five points.
# - `alpha = 0.05`. The loss is higher and jumps: the first step itself now comes near the edge of
#   stability.
#
# The trained network is `step.meta`. `sine_knobs(NET.forward, {"maml": step.meta}, alpha=alpha)`
# puts it into the live scene.
#
# Headless: `python -m mamlkit run 01_sinusoids -p alpha=0.001 -p profile=quick`; with `--grid
# alpha=0.005,0.01,0.02` one run for each.
#
# [← Start](00_start.ipynb) · [Next: images →](02_classification.ipynb) ·
# [all claims](07_scoreboard.ipynb)
