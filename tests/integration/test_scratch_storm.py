import pytest, time
from tests.integration.test_kill_storm import *
@pytest.mark.parametrize("seed", range(4))
def test_s(queue, seed):
    t=time.monotonic()
    storm = Storm(queue, seed=seed)
    try:
        storm.blow(200, 5000)
        left = len(queue.rows("state not in ('finished','failed')"))
        storm.calm_down()
    finally:
        storm.stop()
    ex = storm.executions()
    print("kills", storm.kills, "left at end", left, "died", queue.sql("select count(*) from cronq_attempts where error_class='ExecutorDied'"), "by msg", queue.sql("select substr(error_message,1,40), count(*) from cronq_attempts group by 1 order by 2 desc limit 5"), time.monotonic()-t)
    assert storm.complaints() == ""
    nothing_is_lost_or_stuck(queue, storm.expected)
    every_run_is_explained(queue, ex)
    twins_never_meet(queue, ex)
    groups = defaultdict(list)
    for row in queue.rows("job_group IS NOT NULL"):
        groups[row["job_group"]] += ex[row["id"]]
    for runs in groups.values():
        apart(runs)
