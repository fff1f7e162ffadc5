"""Why a broker does not serve us: the one table from what its client raises to a reason and a sentence for people.

Classes are known by their names, for a worker's image may come without the library of a broker that it does not use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.api.tls import tls_problem
from headrace.api.valkey_cluster import CLUSTER_UNSUPPORTED

TEXT_LENGTH = 600
"""Most characters of what a failure says."""


@dataclass(frozen=True)
class Failure:
    """What keeps a loop from its work."""

    reason: str
    """One word that never changes: a label of metrics, a row of docs/troubleshooting.md."""
    text: str
    """What is wrong, and what to write or do."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}"


NOT_AUTHENTICATED = "AuthenticationFailed"
NOT_AUTHORIZED = Failure("AuthorizationFailed", "the role lacks a right: grant it")
NOT_PERMITTED = Failure("NotPermitted", "the user lacks a right: grant it with ACL SETUSER")
FULL = Failure("ValkeyFull", "it is full: raise maxmemory, or let its readers catch up")
READ_ONLY = Failure("ReadOnly", "it is a replica, which takes no writes: name the primary in spec.valkey.url")
WRONG_TYPE = Failure("WrongType", "a key holds another type: rename or delete that key, or name another one")
LOADING = Failure("Loading", "it loads its data from the disk, and serves when that is done")
UNREACHABLE = Failure("Unreachable", "it does not answer: check its address, the Service and NetworkPolicies")
NO_TOPIC = Failure("TopicNotFound", "the topic does not exist, or its namespace does not: create it")
QUOTA = Failure("QuotaExceeded", "the topic is over its backlog quota: let its subscriptions catch up, or raise it")
REFUSED = Failure("ServerRefused", "it refuses, and says why itself")
CLUSTER = Failure(
    CLUSTER_UNSUPPORTED,
    "it is a node of a Valkey Cluster, which Headrace does not support yet: name a Valkey that runs with"
    " cluster-enabled no",
)
CERTIFICATE = Failure(
    "CertificateRefused",
    "its certificate is refused: tls.caSecretRef must name the CA that signed it, and it must be for the URL's host",
)
BUSY = Failure("BrokerBusy", "the topic moves between brokers, or its broker has too much to do; it passes")

_CODES: Mapping[str, Failure] = {
    "NOAUTH": Failure(NOT_AUTHENTICATED, "it wants credentials: name their Secret under spec.valkey.auth"),
    "WRONGPASS": Failure(NOT_AUTHENTICATED, "it refuses the credentials: check user and password in the Secret"),
    "NOPERM": NOT_PERMITTED,
    "OOM": FULL,
    "READONLY": READ_ONLY,
    "MASTERDOWN": READ_ONLY,
    "MISCONF": Failure("DiskRefused", "it cannot write its disk, so it takes no writes: see its log"),
    "LOADING": LOADING,
    "NOREPLICAS": Failure("TooFewReplicas", "fewer replicas are connected than its min-replicas-to-write"),
    "WRONGTYPE": WRONG_TYPE,
    "NOGROUP": Failure("GroupMissing", "the consumer group of the stream is gone; it is made again"),
    "BUSY": Failure("ScriptBusy", "a script runs for too long there: SCRIPT KILL ends it"),
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), CLUSTER),
}
"""By the word that Valkey's errors begin with."""

_CLASSES: Mapping[str, Failure] = {
    "AuthenticationError": Failure(NOT_AUTHENTICATED, "it refuses the credentials: check the Secret"),
    "AuthenticationWrongNumberOfArgsError": Failure(NOT_AUTHENTICATED, "it knows no user names, or no password"),
    "NoPermissionError": NOT_PERMITTED,
    "OutOfMemoryError": FULL,
    "ReadOnlyError": READ_ONLY,
    "MasterDownError": READ_ONLY,
    "BusyLoadingError": LOADING,
    "ClusterUnsupportedError": CLUSTER,
    "ResponseError": REFUSED,
    "AccessRefused": Failure(NOT_AUTHENTICATED, "it refuses the credentials, or what they ask for"),
    "TopicMissingError": NO_TOPIC,
    **dict.fromkeys(("ConnectionError", "TimeoutError", "OSError", "OperationalError", "PublishError"), UNREACHABLE),
}
"""By the names of classes, of Valkey's clients, amqp, Python and our own."""

_PULSAR: Mapping[str, Failure] = {
    "AuthenticationError": Failure(NOT_AUTHENTICATED, "it refuses the token: check the Secret"),
    "ErrorGettingAuthenticationData": Failure(NOT_AUTHENTICATED, "the token cannot be used: check the Secret"),
    "AuthorizationError": NOT_AUTHORIZED,
    "TopicNotFound": NO_TOPIC,
    "TopicTerminated": Failure("TopicTerminated", "the topic was terminated and takes nothing any more: name another"),
    "ProducerBlockedQuotaExceededError": QUOTA,
    "ProducerBlockedQuotaExceededException": QUOTA,
    "ProducerBusy": Failure(
        "ProducerBusy", "another producer keeps ours out: one of its name, one with exclusive access, or maxProducers"
    ),
    "ProducerFenced": Failure("ProducerBusy", "another producer took the topic for itself (ExclusiveWithFencing)"),
    "ConsumerBusy": Failure(
        "ConsumerBusy",
        "other consumers keep ours out: of another subscription type, an exclusive one, or maxConsumers;"
        " end them, or name a subscription that is ours alone",
    ),
    "ConsumerAssignError": Failure("ConsumerBusy", "the subscription has no range of keys for our consumer"),
    "IncompatibleSchema": Failure(
        "SchemaIncompatible",
        "the topic has a schema, and the broker takes none but that (schemaValidationEnforced); a bridge publishes"
        " bytes: choose another topic, delete the schema, or do not enforce it",
    ),
    "NotAllowedError": Failure("NotAllowed", "a policy of the topic forbids it"),
    "SubscriptionNotFound": Failure("SubscriptionNotFound", "the subscription does not exist: create it"),
    "BrokerPersistenceError": Failure("BrokerCannotStore", "the broker cannot write to BookKeeper: see its log"),
    "ServiceUnitNotReady": BUSY,
    "TooManyLookupRequestException": BUSY,
    **dict.fromkeys(
        ("ConnectError", "NotConnected", "ReadError", "LookupError", "Timeout", "AlreadyClosed", "Interrupted"),
        UNREACHABLE,
    ),
    "PulsarException": REFUSED,
}
"""By the names of the classes of Pulsar's library, some of which are Python's too."""

_WORDS: Mapping[str, Failure] = {
    "ncryption is required": Failure(
        "EncryptionRequired",
        "its namespace takes encrypted messages alone, and a bridge encrypts nothing: set encryptionRequired to false,"
        " or name a topic of another namespace",
    ),
    "maximum number of subscriptions": Failure("NotAllowed", "the topic has as many subscriptions as it may"),
    "doesn't support": Failure(
        "NotAllowed", "its policy subscriptionTypesEnabled forbids the type: allow it, or choose another"
    ),
    "certificate verify failed": CERTIFICATE,
    "ACL failure in script": NOT_PERMITTED,
}
"""By words in the text, where neither class nor code tell it apart."""

_HTTP: Mapping[int, Failure] = {
    401: Failure(NOT_AUTHENTICATED, "it refuses the token: check the Secret"),
    403: NOT_AUTHORIZED,
    404: NO_TOPIC,
}

REASONS = frozenset(each.reason for table in (_CODES, _CLASSES, _PULSAR, _WORDS) for each in table.values())
"""All reasons of this table."""

_CODE = re.compile(r"^(?:ERR )?([A-Z]{3,})\b")


def failure_of(error: BaseException) -> Failure:
    """What *error* means."""
    if isinstance(known := getattr(error, "failure", None), Failure):
        return known
    if result := getattr(error, "result", ""):
        return failure_named(result, str(error))
    said = " ".join(str(error).split())
    found = CERTIFICATE if tls_problem(error) else _found(error, said)
    return _with(found, f"{type(error).__name__}: {said}" if said else type(error).__name__)


def failure_named(name: str, words: str) -> Failure:
    """What the error *name* of Pulsar's library means, with the broker's *words*."""
    found = next((each for text, each in _WORDS.items() if text in words), _PULSAR.get(name, REFUSED))
    return _with(found, f"{name}: {words}" if words else name)


def _found(error: BaseException, said: str) -> Failure:
    for words, failure in _WORDS.items():
        if words in said:
            return failure
    code = _CODE.match(said)
    if code is not None and code[1] in _CODES:
        return _CODES[code[1]]
    return next(_by_class(error), Failure("UnexpectedError", "nothing that we know: see the log"))


def _with(failure: Failure, quotation: str) -> Failure:
    return Failure(failure.reason, f"{failure.text} ({quotation})"[:TEXT_LENGTH])


def _by_class(error: BaseException) -> Iterator[Failure]:
    status = getattr(error, "code", None)
    if type(error).__name__ == "HTTPError" and isinstance(status, int):
        yield _HTTP.get(status, REFUSED)
    for ancestor in type(error).__mro__:
        table = _PULSAR if ancestor.__module__ == "_pulsar" else _CLASSES
        if ancestor.__name__ in table:
            yield table[ancestor.__name__]
