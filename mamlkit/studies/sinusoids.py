"""Section 5.1: regression of sine waves."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from mamlkit.bank import experiment as bank
from mamlkit.bank.budget import budget
from mamlkit.bank.experiment import Device, Experiment, Setting, first_losses
from mamlkit.machine import seeded
from mamlkit.optimizer import adam
from mamlkit.studies import any_model, parameter_averages, sinusoid_rivals
from mamlkit.studies import sinusoid_measures as measures
from mamlkit.studies.sinusoid_methods import NET, method
from mamlkit.train import Step, train

# The step sizes that ten validation steps chose for the pretrained network; the paper's legend says
# 0.01, 0.02, 0.02.
TUNED = {"alpha K=5": 0.005, "alpha K=10": 0.01, "alpha K=20": 0.02}


def common(profile: str) -> dict:
    """Section 5.1's hyper-parameters: alpha, K and the network are the paper's, the meta-batch and
    the iterations the authors' code's, the test waves ours (the paper has 600)."""
    return dict(
        alpha=0.01,
        beta=0.001,
        shots=10,
        tasks=25,
        iterations=budget(profile, smoke=10, quick=4_000, paper=70_000),
        test_tasks=budget(profile, smoke=20, quick=500, paper=10_000),
    )


def each(methods: dict[str, dict], profile: str, seeds: int | None) -> dict[str, Setting]:
    """A setting for each method and seed: what `common` says, and what is the method's own."""
    number = seeds or budget(profile, smoke=1, quick=2, paper=5)
    return {
        f"{name}-{seed}": dict(method=name, seed=seed, **common(profile)) | own
        for name, own in methods.items()
        for seed in range(number)
    }


def figure3_cells(profile: str, seeds: int | None = None) -> dict[str, Setting]:
    """The methods of figure 3, a few seeds each."""
    patience = dict(patience=budget(profile, smoke=20, quick=300, paper=1_000))
    methods = {
        "maml": patience,
        "fomaml": {},
        "pretrained": TUNED | patience,
        "oracle": {},
        "random": patience | {"iterations": 0},
    }
    return each(methods, profile, seeds)


def ablation_cells(profile: str, seeds: int | None = None) -> dict[str, Setting]:
    """Trainings of MAML in which one thing differs. 0.001 is the default of the authors' code."""
    alphas = {f"alpha-{a}": {"alpha": a} for a in (0.001, 0.005, 0.02)}
    return each(alphas | {"learned-alpha": {}, "support-as-query": {}}, profile, seeds)


def wider_cells(profile: str, seeds: int | None = None) -> dict[str, Setting]:
    """The widths that section 5.1 does not have."""
    return each({"2x100": {}, "3x100": {}}, profile, seeds)


def rival_cells(profile: str, seeds: int | None = None) -> dict[str, Setting]:
    """Other meta-learners on the same waves."""
    return each(sinusoid_rivals.own(profile), profile, seeds)


def settled_cells(profile: str, seeds: int | None = None) -> dict[str, Setting]:
    """The pretrained networks, trained on for a seventh of the iterations with a tenth of Adam's
    step."""
    shorter = max(1, common(profile)["iterations"] // 7)
    own = dict(beta=0.0001, iterations=shorter, begins_with=f"sinusoid pretrained, {profile}")
    return {
        cell.replace("pretrained", "settled"): setting
        for cell, setting in each({"pretrained": own}, profile, seeds).items()
    }


def steps(setting: Setting, resume=None, until=None, device: Device = "cpu") -> Iterator[Step]:
    """The meta-training of a setting; `until` ends it early and changes nothing else."""
    if setting["iterations"] == 0:
        generator = seeded(setting["seed"], device)
        yield Step(0, NET.init(generator), {}, generator.get_state(), torch.empty(0))
        return
    m, generator = method(setting), seeded(setting["seed"], device)
    learner = m.learner(1)
    start = begins_with(setting) or m.net.init(generator)
    start = {name: p.to(device) for name, p in start.items()}
    yield from train(
        learner,
        learner.init(start),
        m.family,
        adam(setting["beta"]),
        generator=generator,
        tasks=setting["tasks"],
        iterations=until or setting["iterations"],
        resume=resume,
    )


def begins_with(setting: Setting) -> dict[str, Tensor] | None:
    """The banked parameters from which a setting's training starts, if it names some.

    Raises ValueError if they are not banked yet.
    """
    if "begins_with" not in setting:
        return None
    profile, cell = setting["begins_with"].split(", ")[1], f"pretrained-{setting['seed']}"
    found = bank.load(FIGURE3, profile)
    if cell not in found:
        raise ValueError(
            f"the settled network begins with {FIGURE3.name} {cell}, which is not banked at "
            f"{profile}: run python -m mamlkit bank --only {FIGURE3.name}"
        )
    return found[cell].params


def begin(setting: Setting) -> Tensor:
    """A training is known by its first losses, an untrained network by its first weights."""
    if setting["iterations"] == 0:
        return NET.init(seeded(setting["seed"]))["layer1.weight"].flatten()[:5]
    return first_losses(steps, setting)


def measure_figure3(setting: Setting, step: Step):
    """What figure 3 asks of a method."""
    kinds = {
        "maml": measures.of_maml,
        "pretrained": measures.of_pretrained,
        "random": measures.race,
    }
    return step.meta, kinds.get(setting["method"], measures.at_three_shots)(setting, step.meta)


def measure_ablation(setting: Setting, step: Step):
    """The errors at five shots; those at the edge too, where alpha varies."""
    found = measures.at_five(setting, step.meta)
    if setting["method"].startswith("alpha-"):
        found |= measures.edges(setting, step.meta)
    return step.meta, found


def measure_wider(setting: Setting, step: Step):
    """The errors at five shots."""
    return step.meta, measures.at_five(setting, step.meta)


def measure_nothing(setting: Setting, step: Step):
    """What is asked of a settled network is read from its parameters."""
    return step.meta, {}


def cost(setting: Setting) -> float:
    """Seconds of one core: compiled updates, and the measuring of 10,000 waves."""
    slower = {"2x100": 2.5, "3x100": 4.0, "maml": 3.0}.get(setting["method"], 1.0)
    return 20 + slower * setting["iterations"] / 700


FIGURE3 = Experiment("sinusoid", figure3_cells, steps, measure_figure3, begin, cost)
ABLATIONS = Experiment("sinusoid-ablations", ablation_cells, steps, measure_ablation, begin, cost)
WIDER = Experiment("sinusoid-wider", wider_cells, steps, measure_wider, begin, cost)
SETTLED = Experiment("sinusoid-settled", settled_cells, steps, measure_nothing, begin, cost)
ANY_MODEL = Experiment(
    "sinusoid-any-model",
    any_model.cells,
    any_model.steps,
    any_model.measure,
    partial(first_losses, any_model.steps),
    any_model.cost,
)
AVERAGES = Experiment(
    "sinusoid-averages",
    parameter_averages.cells,
    parameter_averages.steps,
    parameter_averages.measure,
    parameter_averages.begin,
    parameter_averages.cost,
)
RIVALS = Experiment(
    "sinusoid-rivals",
    rival_cells,
    sinusoid_rivals.steps,
    sinusoid_rivals.measure,
    sinusoid_rivals.begin,
    sinusoid_rivals.cost,
)
EXPERIMENTS = (FIGURE3, ABLATIONS, SETTLED, ANY_MODEL, WIDER, AVERAGES, RIVALS)
