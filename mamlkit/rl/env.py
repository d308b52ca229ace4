"""What an environment is: pure functions of a batch of episodes, each with a goal of its own."""

from typing import Any, NamedTuple, Protocol

from torch import Generator, Tensor


class State(NamedTuple):
    """Where a batch of episodes stands. observation: (batch, observations), what the policy sees.
    hidden: whatever else the environment needs to go on, a pytree of tensors with the leading axis
    `batch`, or () for nothing."""

    observation: Tensor
    hidden: Any


class Env(Protocol):
    """A distribution over Markov decision processes that differ in their goal (sections 3.2 and
    5.3).

    State in, state out: nothing is remembered between calls, so a run resumes from its tensors
    alone. An environment knows neither tasks nor lanes: `rollout` flattens both into the one axis
    `batch`, starts an episode anew after `done`, after `horizon` steps, and where a number is not
    finite. Tensors are on the device of `goals`, floats of the default dtype (`hidden` as the
    environment likes). `step` takes any finite action and clips it to [-1, 1], the range that the
    authors' wrapper `normalize` maps to the actuators' own.
    """

    horizon: int  # H: the most steps of an episode
    observations: int  # numbers in an observation
    actions: int  # numbers in an action

    def sample_goals(self, generator: Generator, tasks: int) -> Tensor:
        """Goals of `tasks` tasks T_i ~ p(T), (tasks, ...), on the generator's device."""
        ...

    def reset(self, goals: Tensor, generator: Generator) -> State:
        """The first states of episodes with these goals, (batch, ...): x_1 ~ q_i(x_1)."""
        ...

    def step(self, state: State, action: Tensor, goals: Tensor) -> tuple[State, Tensor, Tensor]:
        """One step, x_{t+1} ~ q_i(x_{t+1} | x_t, a_t). action: (batch, actions).

        Returns the new state, the reward of the step (batch,), and done (batch,), boolean: the
        episode is over, by the environment's own rule; the time limit is not its business.
        """
        ...
