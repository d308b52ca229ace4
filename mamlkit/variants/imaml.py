"""iMAML: Rajeswaran, Finn, Kakade & Levine 2019, "Meta-Learning with Implicit Gradients"."""

from torch import zeros_like
from torch.func import grad, grad_and_value, vjp

from mamlkit.boundary import finite, inner_loop, said, whole
from mamlkit.inner import Alpha, inner_step, repeated, step_sizes
from mamlkit.learner import Learner
from mamlkit.losses import Loss
from mamlkit.solve import conjugate_gradient
from mamlkit.trees import dependent, partition


def imaml(
    loss: Loss, *, alpha: Alpha, steps: int, strength: float = 2.0, cg_steps: int = 5
) -> Learner:
    """The inner problem has a solution, phi = argmin L(phi) + strength/2 |phi - theta|^2, and so an
    implicit derivative.

    With H the Hessian of the support loss at phi, the meta-gradient is (I + H/strength)^-1 grad
    L_query(phi): it depends on where the `steps` inner steps of size `alpha` arrive, not on the way
    there, and needs no graph of it. alpha: a number, or a dict that names what adapts; what it
    leaves out is meta-learned, also through where phi lies. Where nothing adapts, with 0 steps or
    an alpha of 0, phi is theta and the meta-gradient its query gradient. strength: the paper's
    lambda, finite and above 0. cg_steps: products with H that conjugate gradient takes, 5 in the
    paper. A plain tuple as support is refused with ValueError. Source: section 3 there, Lemma 1,
    Algorithms 1 and 2.
    """
    if not (finite(strength) and strength > 0):
        raise ValueError(
            f"strength is {said(strength)}: the pull towards theta must be finite and above 0"
        )
    whole("cg_steps", cg_steps)
    inner_loop(loss, alpha, steps)

    def descend(theta, support):
        if type(support) is tuple:
            raise ValueError(
                "iMAML differentiates the solution of one inner problem: it takes one support set, "
                "not a batch for each step"
            )
        phi = theta
        for objective in repeated(loss, support, steps):

            def proximal(p, objective=objective):
                return dependent(objective(p), p) + strength / 2 * sum(
                    (p[k] - theta[k]).square().sum() for k in theta
                )

            phi = inner_step(phi, proximal, alpha)
            yield phi

    def meta_grad(theta, task):
        phi = theta
        for phi in descend(theta, task.support):  # noqa: B007, only where the path ends is kept
            pass
        g, value = grad_and_value(loss)(phi, task.query)
        moves = [
            k
            for k, a in step_sizes(theta, alpha).items()
            if steps and not (isinstance(a, (int, float)) and a == 0)
        ]
        if not moves:
            return g, {"loss": value}
        pull = vjp(grad(lambda p: loss(p, task.support)), phi)[1]
        adapting, free = partition(g, moves)

        def hessian(v):
            return pull({k: v[k] if k in v else zeros_like(p) for k, p in phi.items()})[0]

        def product(v):
            Hv = hessian(v)
            return {k: v[k] + Hv[k] / strength for k in v}

        solution = conjugate_gradient(product, adapting, iterations=cg_steps)
        Hv = hessian(solution) if free else {}
        return {k: solution[k] if k in solution else g[k] - Hv[k] / strength for k in g}, {
            "loss": value
        }

    return Learner(dict, lambda theta, support: [theta, *descend(theta, support)], meta_grad)
