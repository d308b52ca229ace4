"""Chapter 6's trainings on waves: shortened they are the same, failed they are kept."""

import pytest
import torch

from mamlkit import variants
from mamlkit.bank.experiment import compare, last
from mamlkit.studies.variant_methods import VARIANTS, before, pooled, while_finite
from mamlkit.studies.variants_waves import (
    ALPHA,
    ALPHA_CPU,
    INNER,
    LONGEST,
    WAVES,
    compared,
    errors,
    learner_of,
    measure,
    setting_of,
    steps,
    summed,
    tasks_of,
)
from mamlkit.task import sample
from mamlkit.train import Step


def small(method, **other):
    return WAVES.cells("smoke")[f"{method}-0"] | dict(iterations=6, tests=7) | other


def test_every_variant_has_a_cell_for_each_seed():
    cells = WAVES.cells("paper", None)
    assert {s["method"] for s in cells.values()} == {*VARIANTS} and len(cells) == 40
    assert cells["cavia-3"]["alpha"] == 1.0 and cells["reptile-0"]["steps"] == 10
    assert all(s["iterations"] == 10_000 for s in cells.values())


def test_alphas_go_from_an_eighth_to_eight_times():
    cells = ALPHA.cells("paper", None)
    found = sorted({s["alpha"] for s in cells.values() if s["steps"] == 1})
    assert found == pytest.approx([0.00125, 0.005, 0.01, 0.02, 0.08])
    short = ALPHA_CPU.cells("paper", None)
    assert short.keys() == cells.keys()
    assert {s["iterations"] for s in short.values()} == {1_000}


@pytest.mark.parametrize("method", VARIANTS)
def test_a_shortened_training_is_the_beginning_of_the_whole(method):
    whole, short = last(steps(small(method))), last(steps(small(method), None, 2))
    assert whole.iteration == 6 and short.iteration == 2
    torch.testing.assert_close(whole.losses[:2], short.losses)


def test_an_unknown_variant_is_refused_by_name():
    with pytest.raises(ValueError, match='variant "protomaml" is unknown; allowed are maml'):
        setting_of("protomaml", 0)


def test_reptile_learns_from_the_query_as_well():
    tasks = {m: sample(tasks_of(small(m)), torch.Generator().manual_seed(1), 2) for m in VARIANTS}
    assert tasks["reptile"].support.x.shape == (2, 20, 1)
    assert tasks["maml"].support.x.shape == (2, 10, 1)
    both = torch.cat([tasks["maml"].support.y, tasks["maml"].query.y], 1)
    assert torch.equal(tasks["reptile"].support.y, both)


def test_pooled_leaves_the_query_alone():
    family = tasks_of(small("maml"))
    noise = family.noise(torch.Generator().manual_seed(0), 1)
    noise = type(noise)(*(n[0] for n in noise))
    assert torch.equal(pooled(family).make(noise).query.y, family.make(noise).query.y)


def test_a_training_that_fails_ends_with_its_last_step():
    start = before({"w": torch.ones(1)}, torch.Generator())

    def breaks(after):
        for i in range(1, after + 1):
            yield Step(i, {}, {}, start.generator, torch.zeros(i))
        raise FloatingPointError("not finite")

    assert [s.iteration for s in while_finite(breaks(2), start)] == [1, 2]
    assert [s.iteration for s in while_finite(breaks(0), start)] == [0]


def test_what_is_measured_is_the_median_wave_and_the_share_that_diverged():
    error = torch.tensor([[1.0, 200.0], [3.0, 1.0], [2.0, 300.0]])
    assert summed(error)[0].tolist() == [2.0, 200.0]
    assert summed(error)[1].tolist() == pytest.approx([0.0, 2 / 3])


def test_a_cell_keeps_its_meta_parameters_and_how_many_iterations_it_made():
    setting = small("meta_sgd")
    step = last(steps(setting))
    params, found = measure(setting, step)
    assert params.keys() == step.meta.keys() and found["made"] == 6
    error = errors(setting, step.meta, 5)
    assert error.shape == (7, LONGEST + 1)
    assert torch.equal(found["K=5"], summed(error))


def test_an_error_that_is_not_finite_counts_as_a_million():
    setting = small("maml")
    meta = {k: p * 1e30 for k, p in last(steps(setting)).meta.items()}
    assert (errors(setting, meta, 5) == 1e6).all()


def test_the_knob_may_stretch_the_step():
    setting = small("maml")
    meta = last(steps(setting)).meta
    task = sample(tasks_of(setting), torch.Generator().manual_seed(2), 1)
    task = type(task)(*(type(d)(*(t[0] for t in d)) for d in task))
    moved = [
        learner_of(setting, 1, times).adapt(meta, task.support)[-1]["layer2.bias"]
        - meta["layer2.bias"]
        for times in (1.0, 2.0)
    ]
    torch.testing.assert_close(moved[1], 2 * moved[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("other", [dict(method="fomaml"), dict(alpha=0.0101), dict(steps=2)])
def test_a_beginning_tells_first_order_and_a_changed_number(other):
    setting = WAVES.cells("paper")["maml-0"]
    now, kept = WAVES.begin(setting | other), WAVES.begin(setting)
    assert compare(kept, kept) == "same"
    assert compare(now, kept).startswith("differs"), "five losses alone would not"


NEW = '''"""A new one."""

from mamlkit.variants.fomaml import fomaml


def slower(loss, *, alpha, steps):
    """First-order MAML with half the step."""
    return fomaml(loss, alpha=alpha / 2, steps=steps)
'''


def test_a_new_file_is_compared_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "slower.py").write_text(NEW)
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(tmp_path)])
    found = compared("fomaml", "slower", iterations=3)
    assert [*found] == ["fomaml", "slower"] and all(e.shape == (11,) for e in found.values())
    assert found["fomaml"][0] != found["fomaml"][10] != found["slower"][10]
    assert setting_of("slower", 0)["alpha"] == INNER["maml"][1]
