"""Notices that a cursor went back: somebody moved it, or deleted the subscription, which the client makes anew without
a word. What was acknowledged comes again then."""

from __future__ import annotations

import logging

from headrace.bridge.admin import ADMIN_TROUBLE, PulsarAdmin

_log = logging.getLogger(__name__)


def went_back(admin: PulsarAdmin, subscription: str, partition: str, done: tuple[int, int] | None) -> bool:
    """Whether the cursor of *subscription* stands below *done*, up to where all was acknowledged; which is logged.

    While the admin API is away nothing is noticed.
    """
    if done is None:
        return False
    try:
        stands = admin.cursor(partition, subscription)
    except ADMIN_TROUBLE as error:
        _log.debug("cannot ask where the cursor of %s stands: %s", partition, error)
        return False
    if stands is None or stands >= done:
        return False
    _log.warning(
        "%s: the cursor of %s went back from %s to %s: the subscription was deleted and is made anew, or somebody"
        " moved it. What was pushed before is not pushed again; to have it again, use spec.replay",
        partition,
        subscription,
        done,
        stands,
    )
    return True
