"""Whether requests may go to a server."""

from penstock.worker.gateway.standing import Standing


def test_a_server_is_up_while_nobody_says_otherwise() -> None:
    """
    Both who check and who count failures have a say. Whoever chooses hears of each change, and of being
    put out even of one that is unhealthy.
    """
    told: list[bool] = []
    standing = Standing(lambda: told.append(standing.is_up))
    standing.judge(1.0)
    assert standing.is_up
    assert told == []

    standing.is_healthy = False
    standing.judge(2.0)
    standing.is_ejected = True
    standing.judge(3.0)
    standing.is_healthy = True
    standing.judge(4.0)
    assert told == [False, False]

    standing.is_ejected = False
    standing.judge(5.0)
    assert told == [False, False, True]
    assert standing.up_since_s == 5.0
