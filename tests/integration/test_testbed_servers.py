"""The loopback servers of the test bed itself: they keep what they must over a crash, and leave nothing."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from testbed import leftovers, process
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey


def test_valkey_keeps_ports_password_and_data_over_a_kill(tmp_path: Path) -> None:
    with Valkey(tmp_path, password="correct horse") as server:
        server.client().set("kept", "yes")
        server.client().waitaof(1, 0, 1000)
        first = server.process_id
        server.kill()
        server.start()
        assert server.process_id != first
        assert server.client().get("kept") == "yes"
        assert "correct" not in server.url


def test_valkey_that_cannot_start_says_why(tmp_path: Path) -> None:
    with Valkey(tmp_path / "one") as server, pytest.raises(ChildProcessError, match="Address already in use"):
        Valkey(tmp_path / "two", port=server.port).start()


def test_frozen_valkey_can_be_stopped(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server:
        server.freeze()
    assert not list(process.recorded(process.own_records()))


def test_pulsar_has_the_default_namespace_and_no_automatic_topics(pulsar: Pulsar) -> None:
    with urllib.request.urlopen(f"{pulsar.admin_url}/admin/v2/namespaces/public") as response:
        assert "public/default" in json.load(response)
    with urllib.request.urlopen(f"{pulsar.admin_url}/admin/v2/brokers/configuration/runtime") as response:
        assert json.load(response)["allowAutoTopicCreation"] == "false"


def test_servers_of_a_killed_test_run_are_ended(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from testbed.valkey import Valkey\n"
        "print(Valkey(Path(sys.argv[1])).start().process_id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    server = process.Identity.of(int(run.stdout))
    assert server is not None
    assert server in [orphan.identity for orphan in process.orphans()]

    leftovers.remove_orphans()

    assert not server.alive()
    assert not list(process.orphans())


def test_a_reused_process_id_is_not_taken_for_ours() -> None:
    init = process.Identity.of(1)
    assert init is not None
    assert init.alive()
    assert not process.Identity(1, init.start_ticks + 1, init.boot).alive()
    assert not process.Identity(1, init.start_ticks, "another-boot").alive()
