"""A run survives: saved whole, damage refused, `kill -9` at any moment, and the same numbers at the
end.

This file is also the program that is killed: `python tests/test_checkpoint.py` is a host that
imports torch once and then forks a training process for every line it is given.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from mamlkit import files
from mamlkit.bank import checkpoint
from mamlkit.bank.checkpoint import load, read, resumable, save, save_tensors
from mamlkit.families.sinusoid import sinusoid
from mamlkit.losses import mse
from mamlkit.machine import seeded
from mamlkit.nets import mlp
from mamlkit.optimizer import adam, sgd
from mamlkit.train import Step, train
from mamlkit.variants.maml import maml

ABOUT = {"name": "small", "alpha": 0.01, "seeds": [0, 3]}
ITERATIONS, BLOCK = 70, 3


def training(resume=None, *, iterations=ITERATIONS, optimizer=None):
    """A small eager meta-training: 24 Steps, the last block cut short."""
    net = mlp(1, 5, 4, 1)
    learner = maml(mse(net.forward), alpha=0.01, steps=1)
    return train(
        learner,
        learner.init(net.init(seeded(4))),
        sinusoid(shots=3, queries=6),
        optimizer or adam(0.01),
        generator=seeded(9),
        tasks=2,
        iterations=iterations,
        block=BLOCK,
        compiled=False,
        resume=resume,
    )


def saved_training(path, about=ABOUT, seconds=0.0, **settings):
    return resumable(
        path, lambda resume: training(resume, **settings), about=about, seconds=seconds
    )


# What is killed
# --------------------------------------------------------------------------------------------------

MOMENTS = {  # where a save is killed -> what is saved then, of saves 1, 2, 3 when it is the third
    "before anything is written": 2,
    "when half is written": 2,
    "before it reaches the disk": 2,
    "before the old one moves aside": 2,
    "between the two moves": 2,
    "after both moves": 3,
}


def sabotage(moment, nth):
    """From here on, this process kills itself at `moment` of its n-th save."""
    write, move, sync, seen = checkpoint.save_file, Path.replace, os.fsync, {"saves": 0, "moves": 0}

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def save_file(tensors, path, metadata):
        seen["saves"], seen["moves"] = seen["saves"] + 1, 0
        last = seen["saves"] == nth
        if last and moment == "before anything is written":
            die()
        write(tensors, path, metadata)
        if last and moment == "when half is written":
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    def fsync(descriptor):
        if seen["saves"] == nth and moment == "before it reaches the disk":
            die()
        sync(descriptor)

    def replace(self, target):
        seen["moves"] += 1
        if (
            seen["saves"] == nth
            and {"before the old one moves aside": 1, "between the two moves": 2}.get(moment)
            == seen["moves"]
        ):
            die()
        moved = move(self, target)
        if seen["saves"] == nth and moment == "after both moves" and seen["moves"] == 2:
            die()
        return moved

    checkpoint.save_file, Path.replace, os.fsync = save_file, replace, fsync


def tell(word):
    """A line in one write: two processes tell, and one of them may be killed within two."""
    os.write(1, f"{word}\n".encode())


def host():
    """For each line of JSON on stdin, forks a process that trains; tells its number, its progress
    and how it ended."""
    torch.set_num_threads(1)
    next(training())  # torch imports half of itself at the first vmap: once is enough
    tell("ready")
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            if order["moment"]:
                sabotage(order["moment"], order["nth"])
            for told, step in enumerate(saved_training(Path(order["path"])), start=1):
                tell(step.iteration)
                if told == order["rest"]:  # the kill may come late on a busy machine
                    signal.pause()
            os._exit(0)
        tell(f"began {child}")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tell(f"ended {status}")


if __name__ == "__main__":
    host()
    sys.exit()

import pytest  # noqa: E402  (the host does without it)


class Trainer:
    """The host, seen from here: `life` is one process that trains on `path`."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def life(self, path, *, moment="", nth=0, kill_after=None, delay=0.0):
        """One process: (how it ended, the iterations it told). kill_after: kill -9 `delay` s after
        that many of them, and before it has told two more."""
        rest = None if kill_after is None else kill_after + 1
        order = {"path": str(path), "moment": moment, "nth": nth, "rest": rest}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        child, told = None, []
        while True:
            word, _, rest = self.process.stdout.readline().strip().partition(" ")
            if word == "ended":
                return int(rest), told
            if word == "began":
                child = int(rest)
            else:
                told.append(int(word))
            if child and kill_after is not None and len(told) >= kill_after:
                time.sleep(delay)
                os.kill(
                    child, signal.SIGKILL
                )  # the host has not waited for it: the number is still its own
                kill_after = None


@pytest.fixture(scope="module")
def trainer():
    trainer = Trainer()
    yield trainer
    trainer.process.stdin.close()
    trainer.process.stdout.read()
    trainer.process.wait()


@pytest.fixture(scope="module")
def unbroken():
    """The last Step of a run that was never stopped, made in this process."""
    *_, last = training()
    assert last.iteration == ITERATIONS
    return last


def identical(a, b):
    """Bit for bit: values, types, shapes, names and their order."""

    def bits(t):
        return t.dtype, t.shape, t.contiguous().numpy().tobytes()

    def part(params):
        return [(k, bits(p)) for k, p in params.items()]

    return (
        a.iteration == b.iteration
        and part(a.meta) == part(b.meta)
        and part(a.optimizer) == part(b.optimizer)
        and bits(a.generator) == bits(b.generator)
        and bits(a.losses) == bits(b.losses)
        and part(a.best) == part(b.best)
        and bits(a.scores) == bits(b.scores)
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_run_killed_at_random_moments_ends_at_the_numbers_of_an_unbroken_run(
    tmp_path, trainer, unbroken, seed
):
    choose, path, seen = random.Random(seed), tmp_path / "run.safetensors", [0]
    for _ in range(6):
        status, told = trainer.life(
            path, kill_after=choose.choice([0, 1, 2, 3, 4]), delay=choose.uniform(0, 0.012)
        )
        assert status == -signal.SIGKILL
        seen += told[-1:]
        assert (load(path, ABOUT) or Step(0, *[None] * 4)).iteration >= seen[-1], (
            "what the reader has seen is saved"
        )
    assert seen == sorted(seen) and len(set(seen)) >= 4, (
        f"the kills fell at different iterations: {seen}"
    )
    status, told = trainer.life(path)
    assert (status, told[-1]) == (0, ITERATIONS)
    assert told[0] >= seen[-1] > BLOCK, (
        "the last life went on from where the one before it was killed"
    )
    assert identical(load(path, ABOUT), unbroken)


@pytest.mark.parametrize(
    ("moment", "nth"), [(moment, 3) for moment in MOMENTS] + [("when half is written", 1)]
)
def test_a_run_killed_inside_the_writing_of_a_checkpoint_ends_at_the_same_numbers(
    tmp_path, trainer, unbroken, moment, nth
):
    path = tmp_path / "run.safetensors"
    status, told = trainer.life(path, moment=moment, nth=nth)
    assert status == -signal.SIGKILL, "the process was killed inside the save"
    left = load(path, ABOUT)
    assert (left.iteration if left else 0) == (BLOCK * MOMENTS[moment] if nth == 3 else 0), (
        "what was saved is whole"
    )
    status, told = trainer.life(path)
    assert (status, told[0]) == (0, left.iteration if left else BLOCK)
    assert identical(load(path, ABOUT), unbroken)


def test_a_kill_leaves_nothing_behind_once_the_run_is_over(tmp_path, trainer):
    path = tmp_path / "run.safetensors"
    trainer.life(path, moment="when half is written", nth=3)
    trainer.life(path)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, path.name + ".previous"}


# A Step saved and read back
# -----------------------------------------------------------------------------------------


def some_step(iteration=17):
    """Names that sorting would reorder, a scalar, values that text would round."""
    generator = seeded(iteration)
    meta = {
        "layer1.weight": torch.randn(3, 2, generator=generator),
        "layer0.bias": torch.tensor([0.1, -0.0, 1e-42, float("inf")]),
        "another": torch.randn(5, generator=generator, dtype=torch.float64),
    }
    state = {
        "second": torch.randn(11, generator=generator),
        "count": torch.tensor(float(iteration)),
        "first": torch.randn(11, generator=generator),
    }
    best = {name: p + 1 for name, p in meta.items()}
    return Step(
        iteration,
        meta,
        state,
        generator.get_state(),
        torch.rand(iteration, generator=generator),
        best,
        torch.rand(3, 2, generator=generator),
    )


def test_a_step_comes_back_bit_for_bit_in_the_same_order(tmp_path):
    step, path = some_step(), tmp_path / "deep" / "run.safetensors"
    save(path, step, ABOUT)
    back = load(path, ABOUT)
    assert list(back.meta) == ["layer1.weight", "layer0.bias", "another"] != sorted(back.meta)
    assert identical(back, step)
    assert identical(load(path, {**ABOUT, "seeds": (0, 3)}), step), (
        "about is compared as JSON: a tuple is a list there"
    )


def test_views_of_one_vector_are_saved_as_they_are(tmp_path):
    vector = torch.arange(12.0)
    step = some_step()._replace(meta={"b": vector[6:].view(2, 3), "a": vector[:6].view(3, 2).T})
    save(tmp_path / "run", step, ABOUT)
    assert identical(load(tmp_path / "run", ABOUT), step)


def test_the_best_may_be_the_last(tmp_path):
    step = some_step()
    step = step._replace(best=step.meta)
    save(tmp_path / "run", step, ABOUT)
    assert identical(load(tmp_path / "run", ABOUT), step)
    save(tmp_path / "other", some_step(), ABOUT)
    assert (tmp_path / "run").stat().st_size < (tmp_path / "other").stat().st_size, (
        "the same parameters are written once"
    )


def test_there_is_nothing_to_load_where_nothing_was_saved(tmp_path):
    assert load(tmp_path / "run.safetensors", ABOUT) is None
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_before_the_last_stands_beside_it(tmp_path):
    path = tmp_path / "run.safetensors"
    for iteration in (3, 5, 9):
        save(path, some_step(iteration), ABOUT)
    assert {p.name for p in tmp_path.iterdir()} == {"run.safetensors", "run.safetensors.previous"}
    assert load(path, ABOUT).iteration == 9
    path.unlink()
    assert identical(load(path, ABOUT), some_step(5))


def test_a_run_with_plain_gradient_descent_is_saved_too(tmp_path):
    path = tmp_path / "run.safetensors"
    *_, whole = training(iterations=11, optimizer=sgd(0.01))
    next(saved_training(path, iterations=11, optimizer=sgd(0.01)))
    *_, last = saved_training(path, iterations=11, optimizer=sgd(0.01))
    assert all(torch.equal(last.meta[k], whole.meta[k]) for k in whole.meta)


# Damage
# --------------------------------------------------------------------------------------------------


def cut(content, share):
    return content[: int(share * len(content))]


def flipped(content, at, bits=1):
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


DAMAGE = {
    "empty": lambda c: b"",
    "a few bytes": lambda c: c[:5],
    "header only": lambda c: c[: 8 + int.from_bytes(c[:8], "little")],
    "half": lambda c: cut(c, 0.5),
    "all but a byte": lambda c: c[:-1],
    "one byte too many": lambda c: c + b"\0",
    "a flipped bit at the end": lambda c: flipped(c, -1 % len(c)),
    "a flipped bit in the numbers": lambda c: flipped(c, len(c) * 4 // 5, 64),
    "a flipped bit in the header's length": lambda c: flipped(c, 1),
    "another kind of file": lambda c: b"\x89PNG\r\n\x1a\n" * 9,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_by_name_and_the_previous_one_is_used(
    tmp_path, capsys, damage
):
    path = tmp_path / "run.safetensors"
    save(path, some_step(5), ABOUT), save(path, some_step(9), ABOUT)
    capsys.readouterr()
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert identical(load(path, ABOUT), some_step(5))
    said = "".join(capsys.readouterr())
    assert said.startswith(f"{path} is damaged") and "iteration 5" in said and said.count("\n") == 1
    assert identical(next(resumable(path, lambda resume: iter(()), about=ABOUT)), some_step(5))


def test_what_is_said_of_damage_goes_to_stderr(tmp_path, capsys):
    path = tmp_path / "run.safetensors"
    save(path, some_step(5), ABOUT), save(path, some_step(9), ABOUT)
    path.write_bytes(b"")
    load(path, ABOUT)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_without_a_checkpoint_before_it_is_an_error_that_names_the_file(tmp_path, damage):
    path = tmp_path / "run.safetensors"
    save(path, some_step(5), ABOUT)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(ValueError, match="run.safetensors is damaged.*no whole checkpoint.*delete"):
        load(path, ABOUT)


@pytest.mark.parametrize("damage", ["empty", "half", "a flipped bit in the numbers"])
def test_when_both_checkpoints_are_damaged_the_run_does_not_start_anew_by_itself(tmp_path, damage):
    path = tmp_path / "run.safetensors"
    save(path, some_step(5), ABOUT), save(path, some_step(9), ABOUT)
    for file in (path, tmp_path / "run.safetensors.previous"):
        file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.raises(ValueError, match="is damaged.*no whole checkpoint"):
        load(path, ABOUT)
    with pytest.raises(ValueError, match="is damaged"):
        next(saved_training(path))


def test_a_damaged_previous_checkpoint_does_not_matter_while_the_last_is_whole(tmp_path, capsys):
    path = tmp_path / "run.safetensors"
    save(path, some_step(5), ABOUT), save(path, some_step(9), ABOUT)
    (tmp_path / "run.safetensors.previous").write_bytes(b"")
    assert identical(load(path, ABOUT), some_step(9))
    assert capsys.readouterr() == ("", "")


def test_no_flipped_byte_of_the_header_is_taken_for_the_truth(tmp_path, capsys):
    """Iteration, settings, names, types, shapes: a byte of any of them changed is damage, or it
    changes nothing."""
    path, trouble = tmp_path / "run.safetensors", []
    save(path, some_step(5), ABOUT), save(path, some_step(17), ABOUT)
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for at in range(header):
        bits = 1 << at % 3
        path.write_bytes(flipped(content, at, bits))
        capsys.readouterr()
        try:
            step = load(path, ABOUT)
        except Exception as error:
            trouble.append(
                f"byte {at} {content[max(0, at - 9) : at + 3]}: {type(error).__name__}: {error}"[
                    :150
                ]
            )
            continue
        said = "".join(capsys.readouterr())
        if not (
            identical(step, some_step(17))
            or identical(step, some_step(5))
            and f"{path} is damaged" in said
        ):
            trouble.append(
                f"byte {at} {content[max(0, at - 9) : at + 3]}: iteration {step.iteration}, said"
                f" {said[:60]!r}"
            )
    assert not trouble, f"{len(trouble)} of {header} flips, e.g.\n" + "\n".join(
        trouble[:: max(1, len(trouble) // 12)]
    )


def test_a_kill_after_damage_still_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    """The last file is damaged, the one before it is used: the next save must not put the damaged
    one in its place."""
    path = tmp_path / "run.safetensors"
    save(path, some_step(5), ABOUT), save(path, some_step(9), ABOUT)
    path.write_bytes(DAMAGE["half"](path.read_bytes()))
    step, move, moves = load(path, ABOUT), Path.replace, []

    class Killed(BaseException):
        pass

    def replace(self, target):
        moves.append(target)
        if len(moves) == 2:
            raise Killed
        return move(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        try:
            save(path, step._replace(iteration=6, losses=torch.rand(6)), ABOUT)
        except Killed:
            pass
    assert load(path, ABOUT).iteration in (5, 6)


# Whose checkpoint it is
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [False, True])
def test_a_checkpoint_of_another_run_is_refused_naming_both(tmp_path, lost):
    path = tmp_path / "run.safetensors"
    save(path, some_step(5), ABOUT), save(path, some_step(9), ABOUT)
    if lost:
        path.unlink()
    with pytest.raises(ValueError) as refusal:
        load(path, ABOUT | {"alpha": 0.02})
    assert (
        "0.01" in str(refusal.value)
        and "0.02" in str(refusal.value)
        and str(path) in str(refusal.value)
    )
    assert load(path, ABOUT).iteration in (5, 9), "it is still there"


def test_a_second_run_on_one_checkpoint_is_refused_and_harms_nothing(tmp_path, unbroken):
    path = tmp_path / "run.safetensors"
    first = saved_training(path)
    next(first), next(first)
    with pytest.raises(ValueError, match="run.safetensors is being written by another run; wait"):
        next(saved_training(path))
    assert identical([*first][-1], unbroken) and identical(load(path, ABOUT), unbroken)


# Resuming, in one process
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [1, 2, 7, 23, 24])
def test_a_run_that_its_reader_left_goes_on_to_the_same_numbers(tmp_path, unbroken, taken):
    path = tmp_path / "run.safetensors"
    steps = saved_training(path, seconds=1e9)
    for _ in range(taken):
        left = next(steps)
    steps.close()
    assert identical(load(path, ABOUT), left), "leaving saves"
    resumed = [step for step in saved_training(path, seconds=1e9)]
    assert identical(resumed[0], left)
    assert [s.iteration for s in resumed] == [*range(left.iteration, ITERATIONS, BLOCK), ITERATIONS]
    assert identical(resumed[-1], unbroken) and identical(load(path, ABOUT), unbroken)


def test_a_complete_run_yields_its_last_step_and_writes_nothing(tmp_path, unbroken):
    path = tmp_path / "run.safetensors"
    for _ in saved_training(path):
        pass
    before = path.stat()
    again = list(saved_training(path))
    assert len(again) == 1 and identical(again[0], unbroken)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_an_interrupt_saves_the_step_the_reader_has_seen(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        for step in saved_training(path, seconds=1e9):
            if step.iteration == 9:
                raise KeyboardInterrupt
    del step
    assert load(path, ABOUT).iteration == 9


def test_steps_are_saved_as_often_as_asked(tmp_path, monkeypatch):
    saves, now = [], [0.0]
    monkeypatch.setattr(checkpoint, "save", lambda path, step, about: saves.append(step.iteration))
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    for _ in saved_training(tmp_path / "run", seconds=10):
        now[0] += 4  # seconds a block takes
    assert saves == [12, 21, 30, 39, 48, 57, 66, 70]


# Tensors with what is said of them
# --------------------------------------------------------------------------------------------------


def test_tensors_come_back_in_their_order_with_what_was_said_of_them(tmp_path):
    params, path = some_step().meta, tmp_path / "new" / "maml.safetensors"
    save_tensors(path, params, ABOUT)
    metadata, back = read(path)
    assert list(back) == list(params) != sorted(params) and metadata["about"] == ABOUT
    assert all(torch.equal(back[k], p) and back[k].dtype == p.dtype for k, p in params.items())
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_tensors_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "maml.safetensors"
    save_tensors(path, {"w": torch.zeros(3)}, {})
    monkeypatch.setattr(
        files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("the disk is full"))
    )
    with pytest.raises(OSError, match="full"):
        save_tensors(path, {"w": torch.ones(3)}, {})
    assert torch.equal(read(path)[1]["w"], torch.zeros(3))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_tensors_are_refused_by_name(tmp_path, damage):
    path = tmp_path / "maml.safetensors"
    save_tensors(path, some_step().meta, ABOUT)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(ValueError, match=r"maml\.safetensors is damaged"):
        read(path)


def test_a_path_may_be_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, step = saved_training("run.safetensors", iterations=4)
    assert load("run.safetensors", ABOUT).iteration == step.iteration == 4
    assert read("run.safetensors")[0]["iteration"] == 4


@pytest.mark.parametrize("about", [{"a": {1}}, {"a": torch.ones(1)}, object()])
def test_about_is_made_of_json_values_or_refused_before_anything_is_trained(tmp_path, about):
    trained = []
    with pytest.raises(ValueError, match="^about is .*, and must be made of JSON values: "):
        list(resumable(tmp_path / "x", lambda resume: iter(trained.append(resume)), about=about))
    with pytest.raises(ValueError, match="^about is "):
        save(tmp_path / "x", some_step(), about)
    assert not trained and not any(tmp_path.iterdir())


def test_what_is_no_step_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="^the step is None: it must be a Step"):
        save(tmp_path / "x", None, ABOUT)


def test_a_folder_is_no_checkpoint_and_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    with pytest.raises(IsADirectoryError):
        save(tmp_path / "kept", some_step(), ABOUT)
    with pytest.raises(IsADirectoryError):
        next(saved_training(tmp_path / "kept"))
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
