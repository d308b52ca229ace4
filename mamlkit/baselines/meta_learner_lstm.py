"""The meta-learner LSTM: Ravi & Larochelle 2017."""

import torch
from torch import Tensor
from torch.func import grad_and_value

from mamlkit.boundary import inner_steps
from mamlkit.learner import Learner, unrolled
from mamlkit.losses import Loss
from mamlkit.nets import Net, normal
from mamlkit.sequence import lstm, lstm_step, read_gradient
from mamlkit.trees import Params, ravel

RULE = "rule."  # what the names of the update rule's parameters begin with


def with_rule(net: Net, *, hidden: int = 20) -> Net:
    """The same net with the parameters of an update rule beside its own, which are the first cell
    state and learned as well.

    The rule: an LSTM of `hidden` units reads each parameter's gradient and the loss, and a second
    one turns that into the gates of `meta_learner_lstm`. It begins as gradient descent: the forget
    gate's bias is from 4 to 6 and the input gate's from -5 to -4. Source: section 3, appendix A.
    """

    def init(generator):
        def uniform(low, high):
            u = torch.rand(1, generator=generator, device=generator.device)
            return low + (high - low) * u

        small = normal(0.01)
        return (
            net.init(generator)
            | lstm(generator, f"{RULE}lstm", 4, hidden)
            | {
                f"{RULE}forget.weight": small(generator, (hidden + 2,)),
                f"{RULE}forget.bias": uniform(4.0, 6.0),
                f"{RULE}input.weight": small(generator, (hidden + 2,)),
                f"{RULE}input.bias": uniform(-5.0, -4.0),
            }
        )

    def forward(params, x, **how):
        return net.forward({k: p for k, p in params.items() if not k.startswith(RULE)}, x, **how)

    return Net(init, forward)


def meta_learner_lstm(loss: Loss, *, steps: int) -> Learner:
    """Steps that an LSTM decides: theta_t = f_t * theta_{t-1} - i_t * gradient, for each parameter.

    The gates f_t and i_t see the gradient, the loss, theta_{t-1} and their own last values; one
    rule serves all parameters. Gradients and losses count as constants in the meta-gradient, as
    the paper assumes: there are no second derivatives. loss: of the net that `with_rule` makes,
    whose parameters the learner starts from. Raises ValueError for steps below 0. Source:
    equations 2 and 3, section 3.3.
    """
    inner_steps(steps)

    def path(meta, support):
        rule = {k.removeprefix(RULE): p for k, p in meta.items() if k.startswith(RULE)}
        theta, unravel = ravel({k: p for k, p in meta.items() if not k.startswith(RULE)})
        blank = theta.new_zeros(len(theta), rule["lstm.weight"].shape[0] // 4)
        state, forget, write = (blank, blank), torch.zeros_like(theta), torch.zeros_like(theta)
        visited = [unravel(theta)]
        for _ in range(steps):
            slope, value = grad_and_value(lambda v: loss(unravel(v), support))(theta.detach())
            slope, value = slope.detach(), value.detach()
            seen = torch.cat([read_gradient(slope), read_gradient(value).expand(len(slope), 2)], -1)
            state = lstm_step(rule, "lstm", seen, state)
            forget = _gate(rule, "forget", state[0], theta, forget)
            write = _gate(rule, "input", state[0], theta, write)
            theta = forget * theta - write * slope
            visited.append(unravel(theta))
        return visited

    return unrolled(loss, path)


def _gate(rule: Params, name: str, seen: Tensor, theta: Tensor, last: Tensor) -> Tensor:
    """A gate's value for each parameter, by what the first LSTM says (parameters, hidden), theta
    and the gate's last value (parameters,)."""
    *weight, for_theta, for_last = rule[f"{name}.weight"].split([seen.shape[-1], 1, 1])
    return torch.sigmoid(
        seen @ weight[0] + for_theta * theta + for_last * last + rule[f"{name}.bias"]
    )
