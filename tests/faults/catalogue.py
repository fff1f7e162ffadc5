"""All scenarios by name."""

from collections.abc import Mapping

from tests.faults.handlers import HandledList, HandledStream
from tests.faults.scenario import Scenario
from tests.faults.tasks import PreforkTasks, ThreadsTasks
from tests.faults.to_pulsar import KeyedListToPulsar, ListToPulsar, StreamToPulsar
from tests.faults.to_valkey import (
    KeySharedPulsarToList,
    LatestPulsarToList,
    PatternToList,
    PulsarToCelery,
    PulsarToList,
    PulsarToStream,
    SharedPulsarToList,
)

SCENARIOS: Mapping[str, type[Scenario]] = {
    "list-to-pulsar": ListToPulsar,
    "list-to-pulsar-keyed": KeyedListToPulsar,
    "stream-to-pulsar": StreamToPulsar,
    "pulsar-to-list": PulsarToList,
    "pulsar-to-list-latest": LatestPulsarToList,
    "pulsar-to-list-shared": SharedPulsarToList,
    "pulsar-to-list-key-shared": KeySharedPulsarToList,
    "pattern-to-list": PatternToList,
    "pulsar-to-celery": PulsarToCelery,
    "pulsar-to-stream": PulsarToStream,
    "tasks-prefork": PreforkTasks,
    "tasks-threads": ThreadsTasks,
    "handled-list": HandledList,
    "handled-stream": HandledStream,
}
