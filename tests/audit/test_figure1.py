from mamlkit.audit.figure1 import JUDGES, c011, evidence


def test_the_closed_forms_are_near_the_tasks_after_one_step():
    e = evidence()
    assert e.loss_maml < e.loss_random < e.loss_joint and e.apart < 1e-12
    assert all(c011(e).checks.values()) and set(JUDGES) == {"C011"}


def test_each_check_can_fail():
    e = evidence()
    assert not c011(e._replace(loss_maml=9.0)).checks["loss"]
    assert not c011(e._replace(loss_random=0.0)).checks["loss"]
    assert not c011(e._replace(distance_joint=0.1)).checks["distance"]
    assert not c011(e._replace(apart=0.1)).checks["curvature"]
