"""One pass over one resource: gather, plan, execute. Level-triggered: nothing is remembered that matters."""

from collections.abc import Callable, Mapping
from datetime import datetime

from headrace.reconcile.hybrid_pipeline import plan_hybrid_pipeline
from headrace.reconcile.kinds import Key
from headrace.reconcile.plan import Plan
from headrace.reconcile.pulsar_bridge import plan_pulsar_bridge
from headrace.reconcile.snapshot import Snapshot
from headrace.reconcile.valkey_worker import plan_valkey_worker
from headrace.reconcile.world import Done, World

PLANNERS: Mapping[str, Callable[[Snapshot, datetime], Plan]] = {
    "ValkeyWorker": plan_valkey_worker,
    "PulsarBridge": plan_pulsar_bridge,
    "HybridPipeline": plan_hybrid_pipeline,
}


async def reconcile(key: Key, world: World, clock: Callable[[], datetime], *, thorough: bool = False) -> Done | None:
    """Make it so. None when the resource is gone. *thorough*: trust no memory, ask everything again."""
    gathered = await world.gather(key, thorough=thorough)
    if gathered is None:
        return None
    plan = PLANNERS[key.kind](gathered.snapshot, clock())
    return await world.execute(gathered, plan, clock())
