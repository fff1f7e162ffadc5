"""A worker and a bridge of one namespace and name, on one Valkey, that both listen to channels."""

import json
import uuid

from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import Processes, connections, create_topic, payloads, resource, wait_for

NUMBERS = range(300)


def test_p1_p7_each_gets_what_its_own_channels_publish(valkey: Valkey, pulsar: Pulsar, processes: Processes) -> None:
    topic = create_topic(pulsar, f"persistent://public/default/one-name-{uuid.uuid4().hex[:8]}")
    create_topic(pulsar, f"{topic}-DLQ")
    worker = {
        "mode": "PubSub",
        "valkey": {"url": valkey.url},
        "pubSub": {"handler": "tests.integration.shop_handlers:attempt", "channels": ["work"]},
        "outbox": {"key": "results"},
        "deadLetter": {"key": "letters"},
    }
    bridge = {
        "source": {"valkey": {"pubSub": {"channels": ["news"]}}},
        "sink": {"pulsar": {"topic": topic}},
        **connections(valkey, pulsar),
    }
    with valkey.client() as client:
        client.rpush("headrace:{test/one}:received", "4:work" + json.dumps({"id": "before"}))
        for command, kind, spec in (("worker", "ValkeyWorker", worker), ("bridge", "PulsarBridge", bridge)):
            running = processes.start(command, resource(kind, "one", spec), environment={"SHOP_VALKEY": valkey.url})
            running.wait_until_ready()
        for state in ("received-state", "channels:received-state"):
            wait_for(lambda state=state: client.hexists(f"headrace:{{test/one}}:{state}", "put"), "it receives")  # type: ignore[misc]
        for number in NUMBERS:
            client.publish("news", f"n{number}")
            client.publish("work", json.dumps({"id": f"w{number}"}))
        wait_for(lambda: client.llen("results") == len(NUMBERS) + 1, "the worker has its own")
        wait_for(lambda: payloads(pulsar, topic) == [f"n{number}" for number in NUMBERS], "the bridge has its own")
        assert client.llen("letters") == 0
    assert payloads(pulsar, f"{topic}-DLQ") == []
