"""What docs/dataplane.md says of running a bridge by hand, done word for word."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from testbed.loopback import free_ports
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey
from tests.integration.dataplane import ROOT, create_topic, payloads, wait_for

TOPIC = "persistent://public/default/orders-by-hand"


def test_the_commands_of_the_documentation_run_a_bridge(pulsar: Pulsar, tmp_path: Path) -> None:
    page = (ROOT / "docs/dataplane.md").read_text()
    begin = page.index("**By hand.**")
    [resource] = re.findall(r"^```yaml\n(.*?)^```", page[begin:], re.MULTILINE | re.DOTALL)[:1]
    [commands] = re.findall(r"^```sh\n(.*?)^```", page[begin:], re.MULTILINE | re.DOTALL)[:1]
    [port] = free_ports(1)
    create_topic(pulsar, TOPIC)
    program = tmp_path / "bin" / "headrace"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m headrace.cli "$@"\n')
    program.chmod(0o755)
    with Valkey(tmp_path / "valkey", password="its word") as valkey:
        for there, here in (
            ("persistent://public/default/orders", TOPIC),
            ("valkey://127.0.0.1:6379/0", valkey.url),
            ("pulsar://127.0.0.1:6650", pulsar.service_url),
            ("http://127.0.0.1:8080", pulsar.admin_url),
        ):
            assert there in resource
            resource = resource.replace(there, here)
        (tmp_path / "orders.yaml").write_text(resource)
        environment = {
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "operator"),
            "VALKEY_PASSWORD": "its word",
            "HEADRACE_TERMINATION_LOG": str(tmp_path / "last-words"),
        }
        process = subprocess.Popen(
            ["sh", "-ec", commands.replace("8081", str(port))], cwd=tmp_path, env=environment, start_new_session=True
        )
        try:
            with valkey.client() as client:
                client.lpush("orders", "one", "two")
            wait_for(lambda: process.poll() is not None or payloads(pulsar, TOPIC) == ["one", "two"], "they arrive", 60)
            assert process.poll() is None
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(40)


def test_a_file_with_a_mistake_ends_the_process_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bridge.yaml"
    path.write_text("kind: PulsarBridge\nmetadata: {name: a}\nspec:\n  source: {}\n  source: {}\n")
    for command in ("bridge", "worker"):
        ended = subprocess.run(
            [sys.executable, "-m", "headrace.cli", command, "--config", path],
            env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), "HEADRACE_TERMINATION_LOG": str(tmp_path / "log")},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 78
        assert 'line 5, column 3: the key "source" stands twice' in (tmp_path / "log").read_text()
