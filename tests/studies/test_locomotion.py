"""Section 5.3's experiments: their cells, how they begin, and how a run is held against them."""

import pickle

import pytest
import torch

from mamlkit.bank import experiment as bank
from mamlkit.bank.experiment import compare, last, load
from mamlkit.studies import locomotion as study
from mamlkit.studies.locomotion import EXPERIMENTS, SCRATCH, TRAININGS, UNTRAINED, repeats
from mamlkit.variants.fomaml import fomaml

CPU = TRAININGS["cheetah-direction-cpu"]


@pytest.fixture(scope="module")
def setting():
    return CPU.cells("paper", 1)["maml-0"]


def small(experiment, cell, **changed):
    return experiment.cells("smoke", 1)[cell] | changed


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
@pytest.mark.parametrize("budget", ["smoke", "quick", "paper"])
def test_an_experiment_can_be_sent_to_a_process_and_says_what_it_costs(experiment, budget):
    assert pickle.loads(pickle.dumps(experiment)).name == experiment.name
    for cell, setting in experiment.cells(budget, 2).items():
        assert cell == f"{setting['method']}-{setting['seed']}"
        assert experiment.cost(setting) > 0
        assert all(isinstance(v, (str, int, float, bool)) for v in setting.values())


def test_baselines_play_as_many_frames_as_maml():
    for name, experiment in TRAININGS.items():
        cells = experiment.cells("paper", 1)
        played = {
            s["method"]: s["tasks"] * s["rollouts"] * (1 + (s["method"] in ("maml", "context")))
            for s in cells.values()
        }
        assert len({*played.values()}) == 1, name


def test_more_seeds_are_more_cells_and_the_bank_asks_for_three_pretrained_ones():
    cells = TRAININGS["cheetah-direction-half"].cells("paper", None)
    count = lambda method: sum(s["method"] == method for s in cells.values())
    assert [count(m) for m in study.METHODS] == [3, 3, 1, 3]
    assert len(TRAININGS["ant-velocity-cpu"].cells("paper", None)) == 4
    assert len(CPU.cells("paper", 2)) == 8


def test_a_beginning_knows_another_step_size_radius_and_derivative(setting, monkeypatch):
    kept = torch.tensor(load(CPU)["maml-0"].about["beginning"])
    assert compare(study.begin(setting), kept) == "same"
    for changed in (dict(alpha=0.101), dict(radius=0.0202), dict(seed=1), dict(even=False)):
        assert compare(study.begin(setting | changed), kept) != "same", changed
    monkeypatch.setattr(study, "maml", fomaml)
    assert compare(study.begin(setting), kept) != "same", "first order"


def test_a_beginning_of_an_untrained_start_knows_its_seed():
    setting = CPU.cells("paper", 2)["random-1"]
    kept = torch.tensor(load(CPU)["random-1"].about["beginning"])
    assert compare(study.begin(setting), kept) == "same"
    assert compare(study.begin(setting | {"seed": 0}), kept) != "same"


@pytest.mark.parametrize("method", ["maml", "pretrained", "oracle", "random"])
def test_a_training_is_measured(method, monkeypatch):
    """Episodes of thirty steps are as good as of two hundred here, and cost a seventh."""
    whole = study.environment
    monkeypatch.setattr(study, "environment", lambda setting, horizon=200: whole(setting, 30))
    setting = small(CPU, f"{method}-0", tasks=2 if method == "maml" else 1)
    step = last(study.steps(setting))
    theta, found = study.measure(setting, step)
    steps = 1 if method == "oracle" else 4
    assert found["finished"].shape == (2, steps) and found["finished"].isfinite().all()
    assert (found["step sizes"].shape[0] > 1) == (method in ("pretrained", "random"))
    assert ("ways" in found) == ("gain by tries" in found) == (method == "maml")
    assert all(p.isfinite().all() for p in theta.values())


def test_a_context_adapts_alone_and_its_ways_are_kept():
    setting = small(TRAININGS["cheetah-direction-context"], "context-0")
    step = last(study.steps(setting))
    theta, found = study.measure(setting, step)
    assert theta["context"].shape == (5,)
    assert found["ways"].shape == (2, 2, 2, 100) and found["ways"].dtype == torch.half
    assert not found["ways"][..., 0].any(), "a way begins at 0"


def test_a_stop_shortens_a_run_and_nothing_else():
    setting = small(CPU, "maml-0")
    short, whole = (last(study.steps(setting, None, n)) for n in (1, None))
    assert (short.iteration, whole.iteration) == (1, setting["iterations"])
    assert torch.equal(short.losses, whole.losses[:1])
    resumed = last(study.steps(setting, short))
    assert torch.equal(resumed.losses, whole.losses)


def test_learning_from_scratch_sees_one_direction():
    for cell, goal in (("forward-0", 1.0), ("backward-0", -1.0)):
        setting = small(SCRATCH, cell)
        assert setting["goal"] == goal
        theta, found = study.learning_curve(setting, last(SCRATCH.steps(setting, None, None)))
        assert theta == {} and found["returns"].shape == (2, 1)


def test_untrained_robots_are_told_apart():
    setting = small(UNTRAINED, "cheetah-0")
    theta, found = UNTRAINED.measure(setting, last(UNTRAINED.steps(setting, None, None)))
    assert theta == {} and found["returns"].shape == (2, 2)
    assert not torch.equal(*found["returns"]) and (found["length"] == 200).all()


def test_a_run_agrees_with_the_bank_it_is_the_beginning_of(setting):
    losses = load(CPU)["maml-0"].measured["losses"][:7]
    assert "the first 7 to the last digit" in repeats(CPU, losses, setting)
    assert "by another rounding" in repeats(CPU, losses + 1, setting)


def test_a_run_that_differs_is_refused_with_its_updates(setting, monkeypatch):
    losses = load(CPU)["maml-0"].measured["losses"][:7]
    with pytest.raises(ValueError, match="chapter 05, updates 1 to 7: the mean return .* 20 are"):
        repeats(CPU, losses - 25, setting)
    monkeypatch.setattr(study, "maml", fomaml)
    said = "differs at update 1, on short episodes, where one plus TRPO's"
    with pytest.raises(ValueError, match=said):
        repeats(CPU, losses, setting)


def test_another_setting_or_seed_has_nothing_to_agree_with(setting):
    losses = load(CPU)["maml-0"].measured["losses"][:7]
    assert "Not compared with the bank: alpha 0.2 here" in repeats(
        CPU, losses, setting | {"alpha": 0.2}
    )
    assert "Nothing is banked of seed 9" in repeats(CPU, losses, setting | {"seed": 9})


def test_every_kept_cell_has_its_experiments_setting():
    for experiment in EXPERIMENTS:
        for cell, result in load(experiment).items():
            assert bank.path(experiment, cell).stat().st_size < 1_000_000
            assert result.about["beginning"], f"{experiment.name} {cell}"
