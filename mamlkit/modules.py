"""A torch module as a pure function that can be differentiated as often as meta-learning does it.

torch's fused operators are a trap: the second derivative of some is wrong without a word
(`weight_norm`), others have none (flash attention) or know no `vmap` (GRU, LSTM). So recurrent
layers are made of plain operations (`layers.unfuse`), attention takes torch's plain kernel where
the fast one has no second derivative, and every module is held against finite differences once.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter

from mamlkit.boundary import said, takes, whole
from mamlkit.layers import unfuse
from mamlkit.trees import Params, dot

EXAMPLES = 4  # in the batch that a module is tried with
CLOSE = 1e-3  # of a derivative: finite differences in float64 are better, a wrong operator is not


def pure(
    build: Callable[[], nn.Module], derivatives: int
) -> tuple[nn.Module, Callable[[Params, Tensor], Tensor]]:
    """(the module, its forward as a pure function of parameters and inputs): `from_module`."""
    if isinstance(build, nn.Module) or not takes(build, 0):
        raise ValueError(
            f"from_module takes a function that makes the module, got {said(build)}: write "
            "from_module(lambda: ...)"
        )
    whole("derivatives", derivatives, 0, 2)

    def made():
        with torch.random.fork_rng():
            torch.manual_seed(0)  # what is random in a constant buffer is the same at every call
            return build()

    module, other = made(), made()
    if not isinstance(module, nn.Module):
        raise ValueError(f"the function makes {said(module)}: it must make a torch.nn.Module")
    if other is module:  # it is the caller's own, and what is done to it here would show there
        again = f"the function makes the same {type(module).__name__} at every call"
        raise ValueError(f"{again}: it must make a new one, e.g. copy.deepcopy(module)")
    name = type(module).__name__
    _refuse_parameters(name, module)
    _refuse_statistics(module)
    unfuse(module)
    frozen = [k for k, p in module.named_parameters() if not p.requires_grad]
    kept, attention = {}, nullcontext
    on_trial = unfuse(other.double()) if derivatives else None

    def constants(device, dtype):
        if (device, dtype) not in kept:
            kept[device, dtype] = {
                k: b.to(device, dtype) if b.is_floating_point() else b.to(device)
                for k, b in module.named_buffers()
            }
        return kept[device, dtype]

    def run(params, x):
        held = {k: params[k].detach() for k in frozen}
        like = next(iter(params.values()), x)
        with attention():
            return functional_call(
                module, {**constants(like.device, like.dtype), **params, **held}, x
            )

    def check(x):
        """Tries the module on inputs of this kind, and attention's plain kernel where the fast one
        fails."""
        nonlocal attention, on_trial
        module, on_trial = on_trial, None
        assert module is not None  # `forward` asks
        try:
            with warnings.catch_warnings():  # batching the fast attention is slow, and tried first
                warnings.simplefilter("ignore")
                _try(module, x, derivatives)
        except RuntimeError as error:
            if "scaled_dot_product" not in str(error):
                raise _refused(name, error) from None
            attention = partial(sdpa_kernel, SDPBackend.MATH)
            try:
                with attention():
                    _try(module, x, derivatives)
            except RuntimeError as error:
                raise _refused(name, error) from None
        except (TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"{name} does not take {said(x)}: {_reason(error)}") from error

    def forward(params: Params, x: Tensor) -> Tensor:
        if on_trial is not None and not torch.compiler.is_compiling():
            check(_numbers(x.shape, 1.0) if x.is_floating_point() else torch.zeros_like(x))
        try:
            return run(params, x)
        except (RuntimeError, TypeError, IndexError) as error:
            if torch.compiler.is_compiling() or "memory" in str(error):
                raise
            raise ValueError(f"{name} does not take {said(x)}: {_reason(error)}") from error

    if on_trial is not None and (x := _guessed(on_trial)) is not None:
        check(x)
    return module, forward


def _reason(error):
    """The first sentence of what torch says."""
    line = next(iter(str(error).splitlines()), "").split(". ")[0].rstrip(".")
    return line if len(line) <= 200 else f"{line[:199]}…"


def _refused(name, error):
    return ValueError(
        f"{name} cannot be differentiated twice with tasks batched: {_reason(error)}; write the "
        "layer with plain operations, see mamlkit.sequence for recurrent nets and attention"
    )


def _refuse_parameters(name, module):
    for k, p in module.named_parameters():
        if isinstance(p, UninitializedParameter):
            wrong = "has no shape yet: run the lazy layer once where the module is made"
        elif p.is_meta or not p.is_floating_point():
            wrong = f"is {said(p)} on {p.device}: it must be real, on a device that holds numbers"
        elif not torch.isfinite(p).all():
            wrong = "holds a value that is not finite"
        else:
            continue
        raise ValueError(f'the parameter "{k}" of {name} {wrong}')


def _refuse_statistics(module):
    found = [
        f"{name}.{buffer}" if name else buffer
        for name, child in module.named_modules()
        if isinstance(child, _NormBase) and child.training and child.running_mean is not None
        for buffer, _ in child.named_buffers(recurse=False)
    ]
    if found:
        others = f" and {len(found) - 3} others" if len(found) > 3 else ""
        raise ValueError(
            f"{type(module).__name__} keeps state in the buffers {found[:3]}{others}: use "
            "batch statistics, BatchNorm2d(..., track_running_stats=False), or GroupNorm, where no "
            "example depends on another; in a net that you cannot edit, "
            "torch.func.replace_all_batch_norm_modules_(net) does the former"
        )
    for k, m in module.named_modules():
        if isinstance(m, _NormBase) and m.running_mean is not None and not m.running_mean.any():
            warnings.warn(
                f"{type(module).__name__} is in eval mode, and its layer {k or 'itself'} has seen "
                "no batch: it normalises nothing; BatchNorm2d(..., track_running_stats=False) "
                "normalises each batch by its own statistics",
                stacklevel=5,
            )
            break


def _numbers(shape, start: float) -> Tensor:
    """Numbers between -1 and 1 without any order, from no generator."""
    count = torch.Size(shape).numel()
    return torch.sin(12.9898 * torch.arange(1, count + 1, dtype=torch.float64) + start).view(shape)


def _try(module: nn.Module, x: Tensor, derivatives: int) -> None:
    """Raises ValueError, or torch's RuntimeError, unless the module is a function of parameters and
    inputs alone, whose derivatives are those of finite differences."""
    name = type(module).__name__
    params = {k: p.detach() for k, p in module.named_parameters()}
    before = {k: b.clone() for k, b in module.named_buffers()}
    state = torch.get_rng_state()
    with torch.no_grad():
        out = module(x)
    drawn = not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    if drawn:
        culprits = sorted({type(m).__name__ for m in module.modules() if "rop" in type(m).__name__})
        raise ValueError(
            f"{name} draws random numbers that no generator here controls"
            f"{' (' + ', '.join(culprits) + ')' if culprits else ''}: make it with dropout 0 or "
            "call its .eval(), or draw the mask in the family's noise and give it as an input"
        )
    if not isinstance(out, Tensor):
        raise ValueError(f"{name} returns {said(out)}: it must return one tensor; wrap the module")
    if moved := [k for k, b in module.named_buffers() if not torch.equal(b, before[k])]:
        raise ValueError(
            f"{name} changes its buffers {moved} when it runs: state hidden in a module cannot be "
            "differentiated through; buffers may only hold constants"
        )
    with torch.no_grad():
        if not torch.equal(out, module(x)) and not out.isnan().any():
            raise ValueError(
                f"{name} gives other outputs when it is called again: random numbers and states of "
                "its own cannot be differentiated through; give them as inputs"
            )
    adapted = {k: p.detach() for k, p in module.named_parameters() if p.requires_grad}
    if not adapted or not out.is_floating_point():
        return

    def loss(p, x):
        out = functional_call(module, {**params, **p}, x)
        return (out - _numbers(out.shape, 2.0)).square().mean()

    worst, once = torch.inf, True
    for attempt in range(3):  # a kink may lie between the two points of a difference
        at = {k: p + 0.05 * _numbers(p.shape, 3.0 + attempt) for k, p in adapted.items()}
        gaps = [_gap(loss, at, x, times, 7.0 + attempt) for times in range(1, derivatives + 1)]
        if max(gaps) < CLOSE:
            return
        if max(gaps) < worst:
            worst, once = max(gaps), gaps[0] >= CLOSE
    raise ValueError(
        f"torch differentiates {name} wrongly: {'once' if once else 'twice'} differentiated it is "
        f"{worst:.0e} away from finite differences; a fused operator in it (as weight_norm's) must "
        "be written with plain operations"
        + ("" if once else ", or be used at first order only (derivatives=1)")
    )


def _gap(loss, at: Params, x: Tensor, times: int, start: float) -> float:
    """How far the first or second derivative is from central differences of the one before,
    relative to its size; the tasks are batched, as in training."""
    along = {k: _numbers(p.shape, start) for k, p in at.items()}
    slope = lambda p, x: dot(grad(loss)(p, x), along)
    once = lambda p: vmap(grad(loss), (None, 0))(p, x[None])
    moved = lambda e: {k: p + e * along[k] for k, p in at.items()}
    if times == 1:
        value = {"": dot({k: g[0] for k, g in once(at).items()}, along)}
        difference = lambda e: {"": (loss(moved(e), x) - loss(moved(-e), x)) / (2 * e)}
    else:
        value = vmap(grad(slope), (None, 0))(at, x[None])

        def difference(e):
            high, low = once(moved(e)), once(moved(-e))
            return {k: (high[k] - low[k]) / (2 * e) for k in at}

    # Of each parameter: a wrong operator in one layer of many shows there.
    size = 1e-3 + 1e-2 * torch.stack([v.norm() for v in value.values()]).norm()
    gaps = torch.stack(
        [
            torch.stack([(d - value[k]).norm() / (value[k].norm() + size) for k, d in found]).max()
            for found in (difference(e).items() for e in (1e-4, 1e-5, 1e-6))
        ]
    )
    return gaps.nan_to_num(nan=torch.inf).min().item()


def _guessed(module: nn.Module) -> Tensor | None:
    """Inputs that the module takes, guessed from its layers; None where no guess works."""
    for shape in _shapes(module):
        for x in (_numbers(shape, 1.0), torch.zeros(shape, dtype=torch.int64)):
            state = torch.get_rng_state()
            try:
                with torch.no_grad():
                    out = module(x)
            except Exception:
                continue
            finally:
                torch.set_rng_state(state)
            if not isinstance(out, Tensor) or out.shape[:1] == (EXAMPLES,):
                return x
    return None


def _shapes(module: nn.Module) -> Iterator[tuple[int, ...]]:
    for child in module.modules():
        if isinstance(child, nn.modules.conv._ConvNd):
            axes = len(child.kernel_size)
            for side in (8, 16, 28, 32, 64, 84, 224):
                yield (EXAMPLES, child.in_channels, *[side] * axes)
        for name in ("in_features", "input_size", "embed_dim", "num_features", "num_channels"):
            size = getattr(child, name, None)
            if isinstance(size, int):
                yield from ((EXAMPLES, size), (EXAMPLES, 6, size), (EXAMPLES, size, 8, 8))
        if isinstance(child, nn.LayerNorm):
            yield (EXAMPLES, *child.normalized_shape)
        if isinstance(child, nn.Embedding):
            yield from ((EXAMPLES, 6), (EXAMPLES,))
