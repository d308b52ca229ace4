import re
import shutil
import subprocess

import pytest
import torch

from mamlkit import machine
from mamlkit.bank.provenance import commit, describe, installed
from mamlkit.inner import inner_step
from mamlkit.machine import ROOT, choose_device, seeded, source_key


@pytest.mark.parametrize(
    "name, gpus, device",
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_is_chosen_by_name(monkeypatch, name, gpus, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert choose_device(name) == torch.device(device)


@pytest.mark.parametrize(
    "name, gpus, words",
    [
        (
            "cuda",
            0,
            'device "cuda" is not here: this machine has no CUDA devices; "auto" or "cpu" work',
        ),
        ("cuda:0", 0, 'device "cuda:0" is not here: this machine has no CUDA devices'),
        ("cuda:1", 1, 'device "cuda:1" is not here: this machine has 1 CUDA device;'),
        ("cuda:2", 2, 'device "cuda:2" is not here: this machine has 2 CUDA devices;'),
        (
            "gpu",
            2,
            'device "gpu" is unknown; allowed are "auto", "cpu", "cuda" and "cuda:0", "cuda:1"',
        ),
        ("cuda:x", 2, 'device "cuda:x" is unknown'),
        ("", 0, 'device "" is unknown'),
    ],
)
def test_a_device_that_is_not_here_is_refused_naming_what_works(monkeypatch, name, gpus, words):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ValueError, match=re.escape(words)):
        choose_device(name)


def test_a_seeded_generator_draws_its_seed_and_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    first, again, other = (torch.rand(5, generator=seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert seeded(3).device == torch.device("cpu") and torch.equal(state, torch.get_rng_state())


def test_a_record_names_device_and_versions():
    said = describe()
    assert said.keys() == {"device", "python", "torch", "numpy"} and all(
        isinstance(v, str) for v in said.values()
    )
    assert (
        said["device"].startswith("cpu (")
        and said["torch"] == installed("torch") == torch.__version__
    )
    assert installed("no-such-package-at-all") == "not installed"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the package that `machine` takes for the source tree."""
    shutil.copytree(
        ROOT / "mamlkit", tmp_path / "mamlkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_commit_says_when_sources_differ_from_it(source):
    def git(*words):
        subprocess.run(
            ["git", "-C", source, "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True,
            capture_output=True,
        )

    (source / "notebooks" / "01.py").write_text("a = 1\n")
    (source / "README.md").write_text("words\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "all")
    clean = commit()
    assert re.fullmatch(r"[0-9a-f]{10}", clean)
    (source / "README.md").write_text("other words\n")
    assert commit() == clean, "text outside package and notebooks does not count"
    (source / "notebooks" / "01.py").write_text("a = 2\n")
    assert commit() == clean + "+"
    git("commit", "-q", "-a", "-m", "b")
    assert commit() != clean and not commit().endswith("+")
    (source / "mamlkit" / "fresh.py").write_text("")
    assert commit().endswith("+"), "a file that git does not know yet counts"


def test_commit_outside_of_git_is_unknown(source, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(source.parent))
    assert commit() == "unknown"


def test_source_key_changes_with_code_and_not_with_words(source):
    before = source_key(inner_step)
    inner = source / "mamlkit" / "inner.py"
    text = inner.read_text()
    inner.write_text(
        text.replace('"""One gradient step', '# a comment\n    """Just one gradient step').replace(
            "# a comment\n    ", ""
        )
    )
    assert inner.read_text() != text and source_key(inner_step) == before, (
        "a docstring does not count"
    )
    inner.write_text(text + "\n# a comment\n")
    assert source_key(inner_step) == before
    inner.write_text(text.replace("p - alphas[name]", "p + alphas[name]"))
    assert inner.read_text() != text and source_key(inner_step) != before
    inner.write_text(text)
    assert source_key(inner_step) == before
    (source / "mamlkit" / "variants" / "new.py").write_text("a = 1\n")
    assert source_key(inner_step) == before, "a file that the run does not use does not count"


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.5, "1", None, True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match="^seed is .*: it must be"):
        seeded(seed)


def test_a_generator_goes_on_where_it_was_and_refuses_what_is_no_state():
    generator = seeded(3)
    state = generator.get_state()
    first = torch.rand(5, generator=generator)
    machine.restored(generator, state)
    assert torch.equal(torch.rand(5, generator=generator), first)
    with pytest.raises(ValueError, match="the generator's state is a tensor of torch.float32"):
        machine.restored(generator, torch.zeros(3))
