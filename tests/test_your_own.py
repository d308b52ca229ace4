"""What chapter 8 shows a reader: each job runs in at most fifteen lines, and does what it says."""

import contextlib
import io
import os
import textwrap

import pytest
import torch
from torch import nn

from mamlkit.book import notebooks as book
from mamlkit.families import archive
from mamlkit.files import ROOT
from mamlkit.machine import seeded
from mamlkit.nets import from_module
from mamlkit.studies import variant_methods
from tests.warm import python

CELLS = [c for c in book.read(book.NOTEBOOKS / "08_your_own.py").cells if c.cell_type == "code"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Every name of the page, run from top to bottom at profile smoke, far from any network."""
    named, patch = {}, pytest.MonkeyPatch()
    patch.setattr(archive, "CACHE", tmp_path_factory.mktemp("cache"))
    patch.setattr(archive, "download", lambda url, *_, **__: absent(url))
    patch.setattr(variant_methods, "VARIANTS", dict(variant_methods.VARIANTS))
    patch.delenv("MAMLKIT_DATA", raising=False)
    steps, said = [], io.StringIO()
    for cell in CELLS:
        source = cell.source
        if "parameters" in cell.metadata.get("tags", ()):
            source += '\nprofile = "smoke"'
        with contextlib.redirect_stdout(said):
            exec(compile(source, "08_your_own", "exec"), named)
        steps += [s for s in (named.get("step"), named.get("last")) if s is not None]
    yield named | {"steps": steps, "said": said.getvalue()}
    patch.undo()


def absent(url):
    raise ConnectionError(f"{url} could not be downloaded (no network): put the file into cache")


def test_each_job_takes_at_most_fifteen_lines():
    for cell in CELLS:
        if not set(cell.metadata.get("tags", ())) & book.FOLDED:
            assert len(cell.source.split("\n")) <= 15, cell.source[:80]


def test_own_tasks_network_loss_and_optimizer_train(page):
    assert max(step.iteration for step in page["steps"]) == 20
    assert all(step.losses.isfinite().all() for step in page["steps"])
    assert page["errors"].shape == (300, 4)
    velocity = page["rule"].init(torch.ones(3))
    moved, state = page["rule"].update(torch.full((3,), 2.0), velocity, torch.ones(3))
    assert torch.allclose(moved, torch.full((3,), 0.98)) and state["velocity"][0] == 2


def test_own_images_are_split_by_classes(page):
    train, test = page["images"].values()
    assert not set(train.names) & set(test.names) and len(train.names + test.names) == 10
    assert train.counts.min() < train.counts.max() and train.pixels.shape[2:] == (3, 32, 32)


def test_the_residual_net_is_refused_with_its_remedies_and_then_works(page):
    residual, x = page["Residual"], torch.rand(7, 3, 32, 32, generator=seeded(0))
    with pytest.raises(
        ValueError, match="batch statistics, .*track_running_stats=False.*GroupNorm"
    ):
        from_module(lambda: residual(nn.BatchNorm2d))
    statistics = lambda n: nn.BatchNorm2d(n, track_running_stats=False)
    for norm in (statistics, lambda n: nn.GroupNorm(4, n)):
        net = from_module(lambda norm=norm: residual(norm))
        assert net.forward(net.init(seeded(0)), x).shape == (7, 3)


def test_environments_of_ones_own_are_trained_in(page):
    for env, inputs in ((page["Line"](), 1), (page["pendulums"], 3)):
        returns = page["trained"](env, inputs, alpha=0.01, tasks=2, rollouts=2, iterations=1)
        assert returns.shape == (1, 2) and returns.isfinite().all() and (returns < 0).all()


def test_the_new_variant_is_compared_by_its_name(page):
    assert [*page["both"]] == ["fomaml", "sign_maml"]


def test_the_new_variant_as_a_file_is_found_by_the_contract_test(tmp_path):
    """It has a variant's form; the laws that it breaks (its path is no descent, it refuses nothing)
    are then named."""
    (cell,) = [c.source for c in CELLS if "def sign_maml" in c.source]
    imports = "from torch.func import grad\n\nfrom mamlkit.learner import Learner, unrolled"
    assert all(line in CELLS[0].source for line in imports.split("\n"))
    new = f'"""A new one."""\n\n{imports}\n\n\n{cell}\n'
    (tmp_path / "sign_maml.py").write_text(new, encoding="utf-8")
    laws = "sign_maml and (called_the_same_way or one_public_function or one_sitting or is_changed)"
    code = f"""
        laws = {laws!r}
        import sys, pytest
        from mamlkit import variants
        variants.__path__.append({str(tmp_path)!r})
        words = ["-q", "-p", "no:cacheprovider", "tests/test_contract.py", "-k", laws]
        sys.exit(pytest.main(words))
    """
    words = ["-c", textwrap.dedent(code)]
    status, said = python(
        words, tree=ROOT, said=tmp_path / "said", environment={**os.environ}
    ).ended()
    assert status == 0, said[-3000:]
    assert "5 passed" in said


def test_without_the_checkpoint_the_page_says_what_to_do(page):
    assert "theirs" not in page and "put the file into cache\n" in page["said"]
