"""The transport `valkey-sentinel://` through a failover."""

from pathlib import Path

from testbed.valkey import Valkey
from tests.integration.dataplane import wait_for
from tests.integration.sentinel import NAME, Sentinel, follow, in_step
from tests.integration.transport_bed import PREFIX, Bed


def test_p1_p5_a_worker_follows_the_primary(tmp_path: Path) -> None:
    with (
        Valkey(tmp_path / "primary") as primary,
        Valkey(tmp_path / "replica") as replica,
        Valkey(tmp_path / "notes") as notes,
    ):
        follow(replica, primary)
        wait_for(lambda: in_step(replica), "the replica follows")
        with Sentinel(tmp_path / "sentinel", primary) as sentinel:
            bed = Bed(notes, tmp_path, url=sentinel.url, master_name=NAME)
            with bed.worker("--pool=threads", "--concurrency=2") as worker:
                bed.send("work", "before")
                bed.send("work", "running", 8)
                bed.wait_for_notes("end before", "begin running")
                wait_for(lambda: held(replica) == 1, "the replica knows")
                primary.kill()
                wait_for(lambda: sentinel.primary_port() == replica.port, "the replica is the primary")
                bed.send("work", "after")
                bed.wait_for_notes("end after", "end running", seconds=60)
                assert worker.process.poll() is None
                wait_for(lambda: held(replica) == 0, "all is acknowledged")
            assert bed.notes().count("begin running") == 1


def held(server: Valkey) -> int:
    with server.client() as client:
        return sum(client.hlen(key) for key in client.scan_iter(f"{PREFIX}:unacked:*"))
