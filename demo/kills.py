"""What the demo does to its own pipeline while it works."""

from collections.abc import Callable

from demo.figures import NAMESPACE, PODS
from testbed.cluster import Cluster


class Kills:
    """Kills the pipeline's pods when one third, and when two thirds, of the events have their outcome."""

    def __init__(self, kill: Callable[[], None], events: int) -> None:
        self._kill = kill
        self._due = [max(1, events // 3), max(1, 2 * events // 3)]

    def after(self, finished: int) -> None:
        """So many events have their outcome now; one kill at most, however far that is."""
        if self._due and finished >= self._due[0]:
            self._due = [due for due in self._due if due > finished]
            self._kill()


def kill_pods(cluster: Cluster) -> str:
    """Force the pods of bridges and worker away, in whatever they are doing; return what kubectl says of them."""
    return cluster.kubectl(
        "delete", "pods", f"--namespace={NAMESPACE}", f"--selector={PODS}", "--force", "--grace-period=0"
    )
