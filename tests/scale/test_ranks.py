"""A training that ranks share has the numbers of one that nobody shares."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import torch

from mamlkit.bank import checkpoint
from mamlkit.families.sinusoid import sinusoid
from mamlkit.files import ROOT
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp
from mamlkit.optimizer import adam
from mamlkit.scale import ranks as module
from mamlkit.scale.ranks import Ranks, ranks
from mamlkit.train import train
from mamlkit.trees import tree_map
from mamlkit.variants.maml import maml
from tests.scale.training import run
from tests.warm import python

CPU = torch.device("cpu")
EXACT = {"float32": 1e-5, "float64": 1e-12}  # relative


@pytest.fixture(autouse=True)
def usual():
    yield
    torch.set_default_dtype(torch.float32)


def environment(**more):
    bare = {k: v for k, v in os.environ.items() if k not in (*module.VARIABLES, "LOCAL_RANK")}
    return bare | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def launched(size, folder, *specs):
    """(exit status, what was said) of each process of `tests.scale.training`, started as a launcher
    does."""
    common = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    processes = [
        python(
            ["-m", "tests.scale.training", str(folder), *specs],
            tree=ROOT,
            said=folder / f"rank {rank}",
            environment=environment(RANK=str(rank), **common),
        )
        for rank in range(size)
    ]
    return [process.ended() for process in processes]


@cache
def alone(spec):
    with TemporaryDirectory() as folder, ranks("cpu") as here:
        return run(here, Path(folder), spec)


@pytest.mark.parametrize("size", [2, 4])
def test_ranks_that_share_a_training_have_the_numbers_of_one(size, tmp_path):
    """Bit for bit with a `chunk`, though it divides no share: the sums are exact, and each chunk is
    computed as it is alone."""
    specs = [f"{what}:{dtype}:6:9" for what in ("sinusoid", "glyphs") for dtype in EXACT]
    specs += [f"{what}:{dtype}:6:9:chunk=2" for what in ("sinusoid", "glyphs") for dtype in EXACT]
    (tmp_path / "shared").mkdir()
    for status, said in launched(size, tmp_path / "shared", *specs):
        assert status == 0, said
    for spec in specs:
        there = checkpoint.load(tmp_path / "shared" / f"{spec}.safetensors", {})
        here, dtype = alone(spec), spec.split(":")[1]
        assert there.losses.dtype == here.losses.dtype == getattr(torch, dtype)
        assert len(there.losses) == 6  # a block, and one that is cut short
        torch.testing.assert_close(there.losses, here.losses, rtol=EXACT[dtype], atol=0.0)
        if "chunk" in spec:
            assert torch.equal(there.losses, here.losses)
            assert all(torch.equal(there.meta[name], here.meta[name]) for name in here.meta)


@pytest.mark.compiled
def test_a_compiled_training_is_shared_as_well(tmp_path):
    spec = "sinusoid:float32:10:9"
    for status, said in launched(2, tmp_path, f"{spec}:compiled=1"):
        assert status == 0 and "uncompiled" not in said, said
    there = checkpoint.load(tmp_path / f"{spec}:compiled=1.safetensors", {})
    torch.testing.assert_close(there.losses, alone(spec).losses, rtol=1e-5, atol=0.0)


def torchrun(size, folder, spec):
    """`tests.scale.training` under torchrun."""
    words = ["torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
    return subprocess.Popen(
        [sys.executable, "-m", *words, "-m", "tests.scale.training", str(folder), spec],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_when_a_rank_dies_all_end_and_the_same_command_goes_on(tmp_path):
    """With three ranks as before, or with two, to the numbers of one."""
    spec = "sinusoid:float64:30:7:rest=0.3"
    launcher, file = torchrun(3, tmp_path, spec), tmp_path / f"{spec}.safetensors"
    until = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < until and launcher.poll() is None
        time.sleep(0.1)
    ranks_ = psutil.Process(launcher.pid).children()
    assert len(ranks_) == 3
    ranks_[1].kill()
    begin = time.monotonic()
    said, _ = launcher.communicate(timeout=60)
    assert time.monotonic() - begin < 30 and launcher.returncode != 0
    assert not any(process.is_running() for process in ranks_)
    sentence = "mamlkit: one of the 3 ranks has ended, or their launcher ends them; the same comm"
    assert said.count(sentence) == 1 and "rank 0: 30" not in said
    at = checkpoint.load(file, {}).iteration
    assert 0 < at < 30
    here = alone(spec.removesuffix(":rest=0.3"))
    for size in (3, 2):
        folder = tmp_path / f"again with {size}"
        folder.mkdir()
        shutil.copy(file, folder)
        for status, said in launched(size, folder, spec):
            assert status == 0, said
            assert int(re.search(r"rank \d: (\d+)", said)[1]) == at, (
                "it goes on from the checkpoint"
            )
        there = checkpoint.load(folder / file.name, {})
        torch.testing.assert_close(there.losses, here.losses, rtol=1e-12, atol=0.0)


SLURM = {  # what a job calls, on one machine in place of two nodes
    "scontrol": "echo 127.0.0.1; echo 127.0.0.1",
    "srun": 'for node in 1 2; do "$@" & done; wait',
    "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
}


def test_the_job_of_chapter_8_runs_over_two_nodes(tmp_path):
    page = (ROOT / "notebooks" / "08_your_own.py").read_text(encoding="utf-8")
    job = re.search(r"# ```bash\n(# #SBATCH.*?)# ```", page, re.DOTALL)[1].replace("\n# ", "\n")[2:]
    for plain, small in {"-per-node 16": "-per-node 1", ":29500": f":{free_port()}"}.items():
        assert plain in job
        job = job.replace(plain, small)
    spec = "sinusoid:float64:10:7"
    files = {name: f"#!/bin/bash\n{does}\n" for name, does in SLURM.items()} | {"job": job}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    mine = "from tests.scale import training\nwith training.ranks() as here:\n"
    (tmp_path / "mine.py").write_text(f"{mine}    training.run(here, training.Path(), {spec!r})\n")
    asked = {"SLURM_NNODES": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]"}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "job"],
        cwd=tmp_path,
        env=environment(PATH=path, **asked),
        capture_output=True,
        text=True,
        timeout=300,
    )
    done = re.findall(r"rank (\d): (\d+)", ran.stdout)  # two that print at once share a line
    assert {("0", "10"), ("1", "10")} <= {*done}, ran.stderr[-3000:]
    there = checkpoint.load(tmp_path / f"{spec}.safetensors", {})
    here = alone(spec)
    torch.testing.assert_close(there.losses, here.losses, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_are_all_of_the_tasks_and_about_equal(size):
    shares = [Ranks(rank, size, CPU).mine(7) for rank in range(size)]
    assert [task for share in shares for task in range(7)[share]] == [*range(7)]
    assert len({share.stop - share.start for share in shares}) <= 2


@pytest.mark.parametrize(("size", "chunk"), [(1, 3), (2, 3), (3, 3), (2, 6), (7, 1)])
def test_with_a_chunk_shares_are_whole_chunks_of_the_meta_batch(size, chunk):
    shares = [Ranks(rank, size, CPU).mine(7, chunk) for rank in range(size)]
    cut = [range(7)[share][at : at + chunk] for share in shares for at in range(0, 7, chunk)]
    assert [c for c in cut if c] == [range(7)[at : at + chunk] for at in range(0, 7, chunk)]


def test_fewer_tasks_or_chunks_than_ranks_are_refused():
    with pytest.raises(ValueError, match="a meta-batch of 7 tasks cannot be shared by 8 ranks"):
        Ranks(0, 8, CPU).mine(7)
    for chunk in (1, 2, 3):
        Ranks(0, 3, CPU).mine(7, chunk)
    with pytest.raises(
        ValueError,
        match="7 tasks in chunks of 4 cannot be .* 3 ranks: .* chunk must be from 1 to 3",
    ):
        Ranks(0, 3, CPU).mine(7, 4)


def test_the_mean_is_over_all_tasks_and_not_over_the_ranks_means(monkeypatch):
    """Seven tasks on three ranks: shares of two, two and three."""
    noise = {"a": torch.randn(7, 2, 3), "b": torch.randn(7, 5)}
    losses = torch.randn(7)
    totals = []
    monkeypatch.setattr(module.dist, "all_reduce", lambda total: totals.append(total.clone()))
    for rank in range(3):
        spread = Ranks(rank, 3, CPU).spread
        mine = spread.share((noise, losses), None)
        assert len(mine[1]) == (3 if rank == 2 else 2)
        spread.mean(*mine)
    assert len(totals) == 3, "one all-reduce each"
    whole = sum(totals)
    assert whole[-1] == 7 and whole.shape == (6 + 5 + 1 + 1,)
    gradient, loss = Ranks(0, 1, CPU).spread.mean(noise, losses)
    torch.testing.assert_close((whole[:-2] / 7).float(), gradient)
    torch.testing.assert_close(gradient, torch.cat([n.mean(0).flatten() for n in noise.values()]))
    torch.testing.assert_close(loss, losses.mean())
    assert gradient.dtype == loss.dtype == torch.float32


@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=str)
def test_the_sum_has_no_trace_of_how_the_tasks_were_split(kind, monkeypatch):
    """Where a plain sum has one."""
    g = seeded(4)
    tasks = torch.randn(50, 2_000, generator=g, dtype=kind)
    tasks *= 10.0 ** torch.randint(-3, 3, tasks.shape, generator=g)
    totals = []
    monkeypatch.setattr(module.dist, "all_reduce", lambda total: totals.append(total.clone()))
    for size in (1, 3, 7):
        totals.append(torch.zeros(()))
        for rank in range(size):
            spread = Ranks(rank, 11, CPU).spread  # any size above 1 asks for the all-reduce
            mine = Ranks(rank, size, CPU).mine(50)
            spread.mean({"a": tasks[mine]}, tasks[mine, 0])
    ends = [i for i, total in enumerate(totals) if total.ndim == 0] + [len(totals)]
    whole = [sum(totals[a + 1 : b]) for a, b in zip(ends, ends[1:])]
    assert len(whole) == 3 and all(torch.equal(whole[0], other) for other in whole[1:])
    plain = [sum(tasks[Ranks(r, n, CPU).mine(50)].sum(0) for r in range(n)) for n in (1, 3)]
    assert not torch.equal(*plain)
    mean, _ = Ranks(0, 1, CPU).spread.mean({"a": tasks}, tasks[:, 0])
    rtol = 1e-6 if kind == torch.float32 else 1e-15
    torch.testing.assert_close(mean, tasks.mean(0), rtol=rtol, atol=50 * rtol)


def test_one_rank_trains_as_train_does():
    net = mlp(1, 7, 5, 1)
    ends = []
    for more in ({}, {"spread": Ranks(0, 1, CPU).spread}):
        g = seeded(3)
        size = dict(tasks=3, iterations=6, block=4)
        learner = maml(mse(net.forward), alpha=0.01, steps=1)
        *_, last = train(learner, net.init(g), sinusoid(), adam(0.01), generator=g, **size, **more)
        ends.append(last)
    torch.testing.assert_close(ends[0].losses, ends[1].losses, rtol=1e-5, atol=0.0)


def test_a_rank_that_lacks_memory_does_not_fall_out_of_step():
    """It would make a block again while the others went on."""
    net, tries = mlp(1, 7, 5, 1), []

    def full(gradients, losses):
        tries.append(len(losses))
        raise torch.OutOfMemoryError("no memory")

    spread = Ranks(0, 1, CPU).spread._replace(mean=full)
    learner = maml(mse(net.forward), alpha=0.01, steps=1)
    size = dict(tasks=6, iterations=2, generator=seeded(1))
    with pytest.raises(torch.OutOfMemoryError) as error:
        next(train(learner, net.init(seeded(0)), sinusoid(), adam(0.01), spread=spread, **size))
    assert tries == [6] and "a smaller chunk needs less" in error.value.__notes__[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s._replace(generator=s.generator + 1), "the 2 ranks draw different tasks"),
        (
            lambda s: s._replace(meta=tree_map(lambda p: 2 * p, s.meta)),
            "the 2 ranks have different parameters",
        ),
    ],
    ids=["seeds", "parameters"],
)
def test_ranks_that_do_not_begin_alike_are_refused(change, words, monkeypatch):
    net, g = mlp(1, 7, 5, 1), seeded(3)
    learner = maml(mse(net.forward), alpha=0.01, steps=1)
    size = dict(tasks=3, iterations=2, generator=g)
    step = next(train(learner, net.init(g), sinusoid(), adam(0.01), **size))
    said = []
    monkeypatch.setattr(module.dist, "all_reduce", lambda t, op: said.append(t.clone()))
    Ranks(1, 2, CPU)._agreed(change(step))
    other = said.pop()
    monkeypatch.setattr(module.dist, "all_reduce", lambda t, op: t.copy_(torch.maximum(t, other)))
    with pytest.raises(ValueError, match=words):
        Ranks(0, 2, CPU)._agreed(step)
    other = torch.full_like(other, -torch.inf)
    assert Ranks(0, 2, CPU)._agreed(step) is step


def test_half_a_launcher_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    for name in module.VARIABLES[1:]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ValueError, match="RANK is set and WORLD_SIZE, MASTER_ADDR, MASTER_PORT is not"
    ):
        with ranks():
            pass


def test_an_error_of_the_training_itself_goes_up():
    with pytest.raises(RuntimeError, match="mine"), ranks("cpu"):
        raise RuntimeError("mine")
    assert not module._lost(RuntimeError("mine"))
