"""Runs that survive: a Step saved atomically, resumed to the same numbers; parameters kept as small
files."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mamlkit.boundary import said
from mamlkit.files import alone, at_home, no_folder, write
from mamlkit.train import Step
from mamlkit.trees import Params

# bytes of the tensors in a result's file: what is committed stays under 1 MB with its header


def save(path: Path, step: Step, about: dict) -> None:
    """Writes a Step so that a kill at any moment leaves a whole file: the new one, or the one
    before it.

    about: what decides the run's numbers (JSON values); `load` checks it. The last checkpoint but
    one stays beside it as `<path>.previous`. A `best` that is `meta` is not written twice.
    """
    if not isinstance(step, Step):
        raise ValueError(f"the step is {said(step)}: it must be a Step, as train yields")
    _values(about)
    tensors = {"generator": step.generator, "losses": step.losses, "scores": step.scores}
    now_best = step.best.keys() == step.meta.keys() and all(
        torch.equal(p, step.best[name]) for name, p in step.meta.items()
    )
    for part in ("meta", "optimizer") if now_best else ("meta", "optimizer", "best"):
        tensors |= {f"{part}/{k}": p for k, p in getattr(step, part).items()}
    save_tensors(
        path, tensors, about, before=_previous(path), iteration=step.iteration, now_best=now_best
    )


def load(path: Path, about: dict, device: torch.device | str = "cpu") -> Step | None:
    """The Step saved at `path`, or None if there is none.

    A damaged file is refused with a sentence on stderr, and the previous checkpoint is used. Raises
    ValueError if the checkpoint belongs to a run with another `about`, or if no whole checkpoint is
    left.
    """
    path, about = at_home(path), _values(about)
    damaged = []
    for candidate in (path, _previous(path)):
        try:
            metadata, tensors = read(candidate)
        except FileNotFoundError:
            continue
        except ValueError as damage:
            damaged.append(str(damage))
            continue
        if metadata["about"] != about:
            raise ValueError(
                f"{candidate} belongs to a run with {metadata['about']}, this one has {about}; "
                "give this run another path, or delete the file"
            )
        if damaged:
            path.replace(
                path.with_name(f"{path.name}.damaged")
            )  # or the next save would drop the good one before it
            print(
                f"{damaged[0]} The checkpoint before it is used: iteration"
                f" {metadata['iteration']}.",
                file=sys.stderr,
                flush=True,
            )

        def part(prefix):
            return {
                k.removeprefix(prefix): t.to(device)
                for k, t in tensors.items()
                if k.startswith(prefix)
            }

        best = part("meta/" if metadata.get("now_best") else "best/")
        return Step(
            metadata["iteration"],
            part("meta/"),
            part("optimizer/"),
            tensors["generator"],
            tensors["losses"],
            best,
            tensors["scores"],
        )
    if damaged:
        raise ValueError(
            f"{damaged[0]} There is no whole checkpoint before it; delete the file to start this"
            " run anew."
        )
    return None


def resumable(
    path: Path,
    steps: Callable[[Step | None], Iterator[Step]],
    *,
    about: dict,
    device: torch.device | str = "cpu",
    seconds: float = 10.0,
) -> Iterator[Step]:
    """The Steps of a run that is saved to `path` as it goes, and goes on from there when it is
    called again.

    steps: (where to resume, or None) -> the Steps from there on, e.g. `lambda resume: train(...,
    resume=resume)`. Saves every `seconds` and at the end, also when the reader interrupts. A run
    that is complete yields its last Step.
    """
    with alone(path):
        step = load(path, about, device)
        saved, unsaved = time.monotonic(), False
        if step is not None:
            yield step
        try:
            for step in steps(step):  # noqa: B020
                unsaved = True
                if time.monotonic() - saved > seconds:
                    save(path, step, about)
                    saved, unsaved = time.monotonic(), False
                yield step
        finally:
            if unsaved and step is not None:
                save(path, step, about)


def _previous(path: Path) -> Path:
    path = at_home(path)
    return path.with_name(path.name + ".previous")


def _values(about):
    """`about` as a file gives it back. Raises ValueError unless it is made of JSON values."""
    try:
        return json.loads(json.dumps(about))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"about is {said(about)}, and must be made of JSON values: {error}"
        ) from None


def _digest(tensors, metadata) -> str:
    digest = hashlib.sha256(
        json.dumps({k: v for k, v in metadata.items() if k != "digest"}, sort_keys=True).encode()
    )
    for name, tensor in tensors.items():
        digest.update(
            f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes()
        )
    return digest.hexdigest()


def save_tensors(
    path: Path, tensors: Params, about: dict, *, before: Path | None = None, **metadata
) -> None:
    """Writes tensors by name and, in the header, `about` and what else is said (JSON values).

    The file holds a digest of all of it, which `read` checks. before: see `files.write`.
    """
    # The format refuses shared memory, and sorts names: a vector of parameters needs their order.
    tensors = {k: t.detach().cpu().contiguous().clone() for k, t in tensors.items()}
    metadata |= {"about": about, "names": list(tensors)}
    metadata |= {"digest": _digest(tensors, metadata)}
    header = {k: json.dumps(v) for k, v in metadata.items()}
    write(path, lambda fresh: save_file(tensors, fresh, header), before=before)


def read(path: Path) -> tuple[dict, Params]:
    """(what the header says, the tensors) of a file that `save_tensors` wrote.

    Raises FileNotFoundError, and ValueError if the file is damaged.
    """
    path = at_home(path)
    no_folder(path)
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = {k: json.loads(v) for k, v in file.metadata().items()}
            tensors = {k: file.get_tensor(k) for k in metadata["names"]}
    except (SafetensorError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}).") from None
    if metadata.get("digest") != _digest(tensors, metadata):
        raise ValueError(f"{path} is damaged (its contents do not match their digest).")
    return metadata, tensors
