"""Every way to run updates gives the same numbers. What a real GPU does is tested where there is
one."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode

from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import he, mlp
from mamlkit.optimizer import adam, sgd
from mamlkit.runners import captured, compiled_loop, in_python, or_else
from mamlkit.task import Family
from mamlkit.train import train
from mamlkit.trees import tree_flatten, tree_map
from mamlkit.variants.maml import maml
from tests.oracles import MODELS, TASKS, copied, gap, problem

pytestmark = pytest.mark.usefixtures("float64")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def advance(place, noise):
    """A small update with all that a real one has: an index, a state, losses."""
    i, made, vector, state, losses = place
    here = noise["a"].index_select(0, i.view(1)).squeeze(0)
    moved = vector * 0.9 + here + state["count"]
    return (
        i + 1,
        made + 1,
        moved,
        {"count": state["count"] + 1},
        torch.where(torch.arange(len(losses)) == i, moved.sum(), losses),
    )


def block(seed=0, length=4):
    zero = torch.zeros((), dtype=torch.int64)
    place = (
        zero,
        zero.clone(),
        torch.randn(3, generator=seeded(seed)),
        {"count": torch.ones(())},
        torch.zeros(length),
    )
    return place, {"a": torch.randn(length, 3, generator=seeded(seed + 1))}


def alike(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True)
    )


class Recording(TorchDispatchMode):
    """A CUDA graph on paper: the operations on tensors, done again on the same memory, whatever
    Python says by then."""

    def __init__(self):
        super().__init__()
        self.calls, self.replays = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result

    def replay(self):
        self.replays += 1
        for function, args, kwargs, result in self.calls:
            for old, new in zip(
                tree_flatten(result)[0], tree_flatten(function(*args, **kwargs))[0]
            ):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@pytest.fixture
def paper_gpu(monkeypatch):
    """`torch.cuda` as far as `captured` uses it."""
    graphs = []

    def graph():
        graphs.append(Recording())
        return graphs[-1]

    @contextmanager
    def capturing(recording):
        with recording:
            yield
        for function, *_ in recording.calls:
            assert "item" not in str(function) and "local_scalar" not in str(function), (
                "a graph cannot wait for the host"
            )

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, fake in {
        "device": lambda device: nullcontext(),
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": graph,
        "graph": capturing,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return graphs


def test_a_captured_update_is_replayed_on_every_blocks_own_numbers(paper_gpu):
    run = captured(advance)
    for seed, n in ((0, 4), (5, 2), (9, 3)):
        place, noise = block(seed)
        before = copied((place, noise))
        after = run(place, noise, n)
        assert alike(after, in_python(advance)(place, noise, n)) and alike((place, noise), before)
        assert not alike(after, before[0])
    assert len(paper_gpu) == 1 and paper_gpu[0].replays == 4 + 2 + 3


def test_what_a_captured_run_returned_is_not_written_to_later(paper_gpu):
    run = captured(advance)
    first = run(*block(0), 4)
    kept = copied(first)
    assert not alike(run(*block(5), 4), kept) and alike(first, kept)


@pytest.mark.parametrize("optimizer", [adam(0.01), sgd(0.01)], ids=["adam", "sgd"])
def test_training_with_a_captured_update_gives_the_same_numbers(paper_gpu, optimizer, monkeypatch):
    """The whole update: tasks made from noise, the gradient through the inner step, the
    optimizer."""
    net = mlp(1, 4, 8, 1, weight=he)
    settings = dict(tasks=3, iterations=7, block=4)

    def ends(compiled):
        loop = train(
            maml(mse(net.forward), alpha=0.05, steps=2),
            net.init(seeded(0)),
            sinusoid(shots=6, queries=7),
            optimizer,
            generator=seeded(1),
            compiled=compiled,
            **settings,
        )
        return list(loop)

    eager = ends(False)
    monkeypatch.setattr("mamlkit.train.compiled_loop", captured)
    for a, b in zip(ends(True), eager, strict=True):
        assert (
            gap(a.meta, b.meta) < 1e-12
            and (a.losses - b.losses).abs().max() < 1e-6
            and torch.equal(a.generator, b.generator)
        )
    assert len(paper_gpu) == 1 and paper_gpu[0].replays == 7
    assert gap(eager[0].meta, eager[-1].meta) > 1e-4


@pytest.mark.compiled
def test_a_compiled_loop_is_kept_and_taken_for_no_other(tmp_path, monkeypatch):
    """Two loops that differ only inside, in one number, and the first again as in a new process."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    place, noise = block()
    kept = []
    for factor in (0.9, 0.8, 0.9):
        torch.compiler.reset()
        counters.clear()

        def other(place, noise, factor=factor):
            i, made, vector, state, losses = advance(place, noise)
            return i, made, factor * vector, state, losses

        found, expected = (way(other)(place, noise, 3) for way in (compiled_loop, in_python))
        assert all(
            (a - b).abs().max() < 1e-12
            for a, b in zip(tree_flatten(found)[0], tree_flatten(expected)[0], strict=True)
        )
        kept.append(counters["inductor"]["fxgraph_cache_hit"])
    assert kept == [0, 0, 1]


def test_what_compiles_says_so_and_how_long_it_took_last_time(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("mamlkit.runners.ROOT", tmp_path)
    caplog.set_level("INFO", "mamlkit")
    clock = iter([0.0, 69.2, 100.0, 103.0, 200.0, 201.0])
    monkeypatch.setattr("mamlkit.runners.time.monotonic", lambda: next(clock))
    for what in ("4 tasks", "4 tasks", "5 tasks"):
        run = or_else(lambda: in_python(advance), in_python(advance), what)
        assert alike(run(*block(), 4), run(*block(), 4))
    assert caplog.messages == [
        *("compiling", "compiled in 69 s", "compiling (69 s last time)", "compiled in 3 s"),
        *("compiling", "compiled in 1 s"),
    ]


def test_a_damaged_or_full_place_for_times_ends_no_training(tmp_path, monkeypatch):
    (tmp_path / "data" / "cache").mkdir(parents=True)
    (tmp_path / "data" / "cache" / "compiled.json").write_text("[")
    monkeypatch.setattr("mamlkit.runners.ROOT", tmp_path)
    monkeypatch.setattr("mamlkit.files.write", lambda *_: full())
    run = or_else(lambda: in_python(advance), in_python(advance), "a test")
    assert alike(run(*block(), 4), in_python(advance)(*block(), 4))


def full():
    raise OSError(28, "No space left on device")


def test_a_runner_that_fails_at_its_first_call_is_given_up_with_a_warning():
    def fails(*_):
        raise RuntimeError("no compiler here\nand more lines")

    run = or_else(lambda: fails, in_python(advance), "a test")
    with pytest.warns(
        UserWarning, match=r"compiling failed \(RuntimeError: no compiler here\)"
    ) as said:
        first = run(*block(), 4)
    assert (
        alike(first, in_python(advance)(*block(), 4))
        and alike(run(*block(), 4), first)
        and len(said) == 1
    )


def test_a_runner_that_cannot_be_made_is_given_up_with_a_warning():
    """As where the compile cache cannot be written: torch.compile fails before any call."""

    def make():
        raise PermissionError("the cache is read-only")

    run = or_else(make, in_python(advance), "a test")
    with pytest.warns(UserWarning, match=r"Error: the cache is read-only\): .* uncompiled"):
        first = run(*block(), 4)
    assert alike(first, in_python(advance)(*block(), 4)) and alike(run(*block(), 4), first)


@pytest.mark.filterwarnings("error")
def test_what_fails_uncompiled_as_well_is_no_failure_of_compiling():
    def broken(*_):
        raise ValueError("a label lies outside")

    with pytest.raises(ValueError, match="a label lies outside"):
        or_else(lambda: broken, broken, "a test")(*block(), 4)


def test_a_runner_without_memory_is_not_given_up():
    """With fewer tasks it may fit: `fitting` decides."""

    def fails(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        or_else(lambda: fails, in_python(advance), "a test")(*block(), 4)


def trained(name, device, compiled, **settings):
    """Where three updates on the same tasks lead. Adam's eps is large: where a gradient is 0 but
    for rounding, Adam would blow it up."""
    loss, theta, tasks, alpha = problem(name)
    theta, tasks = tree_map(lambda t: t.to(device), (theta, tasks))
    family = Family(
        lambda generator, n: tree_map(lambda t: t[torch.arange(n, device=device) % TASKS], tasks),
        lambda task: task,
    )
    *_, step = train(
        maml(loss, alpha=alpha, steps=2),
        theta,
        family,
        adam(0.01, eps=1e-3),
        generator=seeded(0, device),
        tasks=TASKS,
        iterations=3,
        block=2,
        compiled=compiled,
        **settings,
    )
    return {k: p.cpu() for k, p in step.meta.items()}


@needs_gpu
@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_agrees_with_the_cpu(name, chunk):
    assert gap(trained(name, "cuda", False, chunk=chunk), trained(name, "cpu", False)) < 1e-10


@needs_gpu
@pytest.mark.filterwarnings("error:.*uncompiled")
@pytest.mark.parametrize("chunk", [None, 2, 1])
@pytest.mark.parametrize("name", MODELS)
def test_on_a_gpu_a_captured_update_is_the_eager_one(name, chunk):
    assert gap(trained(name, "cuda", True, chunk=chunk), trained(name, "cuda", False)) < 1e-10


@needs_gpu
@pytest.mark.filterwarnings("error:.*uncompiled")
@pytest.mark.parametrize("name", MODELS)
def test_on_a_gpu_an_update_compiled_and_captured_is_the_eager_one(name, monkeypatch):
    monkeypatch.setattr("mamlkit.train.BOTH_FROM", 1)
    assert gap(trained(name, "cuda", True), trained(name, "cuda", False)) < 1e-10
