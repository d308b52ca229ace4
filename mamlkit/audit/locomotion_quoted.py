"""What the authors published of section 5.3's locomotion, and the claims that it decides."""

from collections.abc import Mapping, Sequence

from mamlkit.audit.judging import Finding

ORDER = ("cheetah-direction", "cheetah-velocity", "ant-direction", "ant-velocity")
# Means over 40 test goals, the result files of cbfinn/maml_rl (icml/*.pkl), after 0 to 3 steps.
AUTHORS = {
    "cheetah-direction": dict(
        maml=(-50.69, 293.19, 313.48, 315.65),
        pretrained=(-43.03, -24.75, -12.85, 19.57),
        random=(-35.73, 21.83, 62.32, 86.18),
        oracle=(442.69,) * 4,
    ),
    "ant-direction": dict(
        maml=(8.66, 499.15, 500.68, 499.11),
        pretrained=(3.16, 1.27, 6.51, 6.86),
        random=(3.11, 9.25, 15.96, 26.11),
        oracle=(524.80,) * 4,
    ),
    "cheetah-velocity": dict(
        maml=(-129.53, -78.57, -66.62, -60.78),
        pretrained=(-158.00, -135.39, -128.47, -133.61),
        random=(-254.83, -254.33, -246.79, -230.83),
        oracle=(-54.47,) * 4,
    ),
    "ant-velocity": dict(
        maml=(30.58, 96.74, 100.06, 101.41),
        pretrained=(-1.83, 6.11, 8.47, 9.47),
        random=(-78.64, -62.81, -48.55, -35.56),
        oracle=(107.89,) * 4,
    ),
}
NAVIGATION = dict(  # the same of the navigating point
    pretrained=(-40.81, -19.73, -11.72, -8.48), random=(-82.66, -57.96, -53.84, -46.81)
)
TABLE5 = (-40.49, -44.08, -38.27, -42.50)  # appendix C.2: a context vector, after 0 to 3 steps
# The names of the tested models' files: iteration, meta-batch ("mbs") and rollouts ("fbs").
MODELS = {
    "cheetah-direction": dict(iterations=100, tasks=40, rollouts=20),
    "ant-direction": dict(iterations=575, tasks=40, rollouts=40),
    "cheetah-velocity": dict(iterations=475, tasks=40, rollouts=10),
    "ant-velocity": dict(iterations=375, tasks=40, rollouts=20),
}
HORIZON = 200


def words(env: str) -> str:
    """An environment's name as the ledger writes it."""
    return env.replace("-", " ")


def millions(iterations: int, tasks: int, rollouts: int) -> float:
    """Environment steps that MAML's meta-training plays, before and after its inner step."""
    return iterations * tasks * rollouts * 2 * HORIZON / 1e6


def needed(env: str) -> float:
    """Millions of environment steps of the authors' training, of which "up to 500 meta-iterations"
    count (appendix A.2)."""
    return millions(**MODELS[env] | {"iterations": min(500, MODELS[env]["iterations"])})


def fraction_of_oracle(random: float, oracle: float, value: float) -> float:
    """How much of the oracle's gain over the random start a return makes."""
    return (value - random) / (oracle - random)


def gain_of_theirs(env: str) -> float:
    """What one step added to the authors' return."""
    before, after = AUTHORS[env]["maml"][:2]
    return after - before


def below(returns: Mapping[str, Sequence[float]]) -> bool:
    """Do the pretrained returns lie below the random ones at steps 1 to 3?"""
    return all(p < r for p, r in zip(returns["pretrained"][1:], returns["random"][1:], strict=True))


def judge_good_performance(e) -> Finding:
    """C110: "achieving good performs in just two or three gradient steps"."""
    parts = {
        env: [fraction_of_oracle(a["random"][0], a["oracle"][0], a["maml"][k]) for k in (2, 3)]
        for env, a in AUTHORS.items()
    }
    quoted = "part of the oracle's gain, 2 and 3 steps, {}, as quoted"
    return Finding(
        {words(env): min(parts[env]) >= 0.9 for env in ORDER},
        {quoted.format(words(env)): ", ".join(f"{v:.2f}" for v in parts[env]) for env in ORDER}
        | {f"here, 3 steps, {words(env)}": f[3] for env, f in e.fractions().items()},
        "as quoted, after two steps: "
        + ", ".join(f"{parts[env][0]:.2f} ({words(env)})" for env in ORDER)
        + ".",
    )


def judge_upper_bound(e) -> Finding:
    """C113: "an oracle policy that receives the goal as input is an upper bound"."""
    above = {env: AUTHORS[env]["oracle"][0] - max(AUTHORS[env]["maml"]) for env in ORDER}
    here, start = e.oracle_above("maml"), e.oracle_above("random")
    return Finding(
        {words(env): above[env] > 0 for env in ORDER},
        {"quoted": "Figure 5"}
        | {f"oracle minus MAML's best, here, {words(env)}": v for env, v in here.items()}
        | {f"oracle minus random's best, here, {words(env)}": v for env, v in start.items()},
        "as quoted the oracle is above MAML by "
        + ", ".join(f"{above[env]:.0f} ({words(env)})" for env in ORDER)
        + ". In our own runs an untrained start passes the oracle in "
        + (" and ".join(words(env) for env, v in start.items() if v < 0) or "none of them")
        + ": it has not learned enough to bound anything there.",
    )


def judge_horizon(e) -> Finding:
    """C116: H = 200, and 20 rollouts, 40 for the ant's directions."""
    rollouts = ", ".join(f"{words(env)} {m['rollouts']}" for env, m in MODELS.items())
    return Finding(
        {
            "horizon": all(h == HORIZON for h in e.horizons.values()),
            "tests": (4000 / HORIZON, 8000 / HORIZON) == (20, 40),
            "training": all(
                m["rollouts"] == (40 if env == "ant-direction" else 20) for env, m in MODELS.items()
            ),
        },
        {
            "horizon": e.horizons["cheetah-direction"],
            "rollouts of the published models": rollouts,
        },
        "tests are as said; the published model of the cheetah's velocity was trained with 10 "
        "rollouts, by its name.",
    )


def judge_iterations(e) -> Finding:
    """C136: "trained for up to 500 meta-iterations"."""
    here = {words(env): MODELS[env]["iterations"] for env in ORDER}
    return Finding(
        {env: n <= 500 for env, n in here.items()},
        here,
        "by the names of the published files; the ant's direction was tested at iteration "
        f"{MODELS['ant-direction']['iterations']}.",
    )


def judge_batch(e) -> Finding:
    """C137: "a meta batch-size of 20 tasks for 2D navigation and 40 for the locomotion"."""
    return Finding(
        {"navigation": True, "locomotion": all(m["tasks"] == 40 for m in MODELS.values())},
        {"navigation": 20, "locomotion": 40},
        "by the names of the published files (mbs20, mbs40).",
    )


def judge_often_worse(e) -> Finding:
    """S110: "pretraining, by contrast, often performed worse than random initialization"."""
    often = sum(below(a) for a in (*AUTHORS.values(), NAVIGATION))
    return Finding(
        {"often": often > 2.5},
        {"environments, of five, as quoted": often},
        "as quoted, pretraining is below the random start at steps 1 to 3 in "
        f"{often} of five environments.",
    )


JUDGES = {
    "C110": judge_good_performance,
    "C113": judge_upper_bound,
    "C116": judge_horizon,
    "C136": judge_iterations,
    "C137": judge_batch,
    "S110": judge_often_worse,
}
