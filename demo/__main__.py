"""`python -m demo` runs the demo, `python -m demo down` removes it. `make demo` and `make demo-down` call them."""

import argparse
import os
import signal
import sys

from rich.console import Console

from demo import closing, data, live, stage
from demo.figures import LEDGER, NAMESPACE, Figures, Sources
from demo.kills import Kills, kill_pods
from testbed import brokers, environment
from testbed.cluster import Cluster
from testbed.progress import step

EVENTS = 20_000
INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended, as the shells have it."""

console = Console(highlight=False)


def main(arguments: list[str]) -> int:
    """Run or remove the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Real flights through a HybridPipeline.")
    parser.add_argument("command", nargs="?", choices=["run", "down"], default="run")
    parser.add_argument("--events", type=int, default=os.environ.get("EVENTS") or EVENTS, help="flights to send")
    options = parser.parse_args(arguments)
    if not 1 <= options.events <= data.FLIGHTS:
        parser.error(f"EVENTS must be between 1 and {data.FLIGHTS}: so many flights left New York City in 2013")
    # ended by another program (make, a CI system) it is to clean up as after Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.command == "down":
            environment.down()
            return 0
        return run(options.events)
    except KeyboardInterrupt:
        console.print("\nStopped. What runs stays up: `make demo` begins anew, `make demo-down` removes it.")
        return INTERRUPTED
    except (OSError, RuntimeError) as error:
        # what a machine lacks, or what a command answered; each says in its own words what to do
        console.print(f"\ndemo: {error}", markup=False, soft_wrap=True)
        return 1


def run(events: int) -> int:
    """Set everything up, stream the events, kill the pods on the way, show the ledger; return 0 when it balances."""
    cluster = environment.up()
    prepare(cluster)
    sources = Sources(cluster.kubeconfig)
    kills = Kills(lambda: console.print(kill_pods(cluster).strip(), markup=False, soft_wrap=True), events)

    def look() -> Figures:
        figures = sources.figures()
        kills.after(figures.finished)
        return figures

    stage.start_producer(cluster, events)
    if not live.show_until_finished(console, look, events).all_finished(events):
        console.print(
            "Nothing moves any more. Killed pods took their last counts with them: the ledger tells.",
            soft_wrap=True,
        )
    with step("nothing waits any more"):
        stage.await_empty(cluster)
    with step("ledger, read back from the topics"):
        stage.start_ledger(cluster)
        stage.await_ledger(cluster)
    report = closing.Report.read(sources.log(LEDGER))
    with step("status catches up with the last events"):
        stage.await_dead_letters(cluster, report.dead_letters)
    resources = "hybridpipelines,valkeyworkers,pulsarbridges"
    console.print(f"\n$ kubectl get {resources} --namespace {NAMESPACE}", soft_wrap=True)
    console.print(cluster.kubectl("get", resources, f"--namespace={NAMESPACE}"), markup=False, soft_wrap=True)
    closing.show(console, report)
    console.print(report.last_line(), soft_wrap=True)
    return 0 if report.balanced else 1


def prepare(cluster: Cluster) -> None:
    """Everything up to a pipeline that is ready."""
    stage.provide_images(cluster)
    stage.install_operator(cluster)
    stage.fresh_namespace(cluster)
    brokers.deploy(cluster, NAMESPACE)
    stage.apply_pipeline(cluster)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
