"""The figures come out of the metrics as they are, and the table never claims more than they say."""

from demo.figures import Counters, Figures, Rate, producer_progress

INGEST = """\
# TYPE headrace_bridge_duplicates_dropped_total counter
headrace_bridge_duplicates_dropped_total{namespace="headrace-demo",name="flights-ingest"} 100
# TYPE headrace_bridge_forwarded_total counter
headrace_bridge_forwarded_total{topic="persistent://demo/flights/events",status="success"} 9000
headrace_bridge_forwarded_total{topic="persistent://demo/flights/events",status="failure"} 500
"""
RESULTS = """\
# TYPE headrace_bridge_forwarded_total counter
headrace_bridge_forwarded_total{topic="persistent://demo/flights/classified",status="success"} 8000
headrace_bridge_forwarded_total{topic="persistent://demo/flights/events-classify-DLQ",status="success"} 80
"""


def test_figures_are_added_up_over_the_pods() -> None:
    assert Counters().figures([INGEST, RESULTS], '{"sent": 20200, "complete": true}') == Figures(
        sent=20_200, sending_complete=True, waiting=12_020, done=8_000, duplicates=100, dead_letters=80
    )


def test_without_pods_there_are_no_figures() -> None:
    assert Counters().figures([], "") == Figures()


def test_the_producers_last_report_counts() -> None:
    assert producer_progress('{"sent": 1}\n{"sent": 2}\nnoise\n') == (2, False)


def test_all_is_finished_only_when_all_is_sent_and_has_an_outcome() -> None:
    assert Figures(sending_complete=True, done=90, dead_letters=10).all_finished(100)
    assert not Figures(sending_complete=True, done=90, dead_letters=9).all_finished(100)
    assert not Figures(sending_complete=False, done=90, dead_letters=10).all_finished(100)


def test_a_restarted_pod_begins_to_count_anew_and_the_figures_go_on() -> None:
    counters = Counters()
    counters.figures([INGEST, RESULTS], '{"sent": 20200, "complete": true}')
    assert counters.figures([INGEST], "").done == 8_000
    restarted = RESULTS.replace("8000", "50").replace(" 80\n", " 2\n")
    figures = counters.figures([INGEST, restarted], '{"sent": 20200, "complete": true}')
    assert (figures.sent, figures.done, figures.dead_letters, figures.duplicates) == (20_200, 8_050, 82, 100)


def test_the_rate_is_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.add(0, 0) == 0
    assert rate.add(1, 1_000) == 1_000
    for second in range(2, 20):
        rate.add(second, 1_000 + (second - 1) * 10)
    assert rate.add(20, 1_190) == 10
