"""The tests that do not apply, by suite, each with its reason. A name may be a class, and stands for its tests then."""

from collections.abc import Iterable

_UNACKED = "the hash of unacknowledged messages with its visibility timeout; an owner's lease stands in its place"
_BRPOP = "a pop that is under way while there is no room; here nothing is taken before there is room for it"
_POLLER = "how the stock poller keeps its connections and timers, seen through a stand-in for it; ours keeps others"
_SCRIPTS = "a stand-in for a server, which knows no scripts; tests of the same with a real server run"
_WORDS = "it compares the words of a message; ours tell what to set"
_LOGS = "it wants log lines that pytest's own set-up here does not let through; it fails with stock, too"
_CLASS = "it compares the class with kombu's own"


def _because(reason: str, test_class: str, names: Iterable[str]) -> dict[str, str]:
    return {f"{test_class}::{name}": reason for name in names}


SKIPS: dict[str, dict[str, str]] = {
    "kombu-unit": {
        "test_PausedBRPOP": _BRPOP,
        "test_RedisSentinel::test_missing_master_name_transport_option": _WORDS,
        **_because(
            _UNACKED,
            "test_Channel",
            (
                "test_global_keyprefix_restore_visible",
                "test_global_keyprefix_transaction",
                "test_qos_restore_visible",
                "test_qos_restore_visible_interval_throttles",
                "test_qos_restore_visible_uses_zrange_byscore_rev",
                "test_qos_restore_visible_without_limit",
                "test_qos_restore_visible_zero_interval_no_zerodivision",
                "test_restore_by_tag_keeps_unacked_message_on_connection_error",
                "test_restore_by_tag_requeues_when_lookup_succeeds",
            ),
        ),
        **_because(
            _UNACKED,
            "test_MultiChannelPoller",
            (
                "test_maybe_restore_messages_calls_restore_visible",
                "test_maybe_restore_messages_swallows_connection_error",
            ),
        ),
        **_because(
            _POLLER,
            "test_Channel",
            (
                "test_configurable_health_check",
                "test_cycle__on_connection_disconnect__poller_ValueError",
                "test_register_with_event_loop",
                "test_register_with_event_loop__non_positive_interval_falls_back",
                "test_register_with_event_loop__restore_interval_from_options",
                "test_register_with_event_loop_cancels_stale_trefs_on_reconnect",
                "test_register_with_event_loop_stores_trefs_on_cycle",
            ),
        ),
        **_because(
            _POLLER,
            "test_DisconnectRegistration",
            (
                "test_disconnect_clears_both_registration_indexes",
                "test_disconnect_preserves_another_channel",
                "test_disconnect_preserves_other_mode",
                "test_disconnect_then_reconnect_registers_new_socket",
            ),
        ),
        **_because(
            _POLLER,
            "test_MultiChannelPoller",
            (
                "test_close_resets_state",
                "test_close_unregisters_fds",
                "test_fds",
                "test_get_brpop_qos_allow",
                "test_get_brpop_qos_disallow",
                "test_get_checks_brpop_health_when_idle",
                "test_get_listen",
                "test_get_no_actions",
                "test_get_receives_ERR",
                "test_get_receives_multiple",
                "test_get_refreshes_binding_expiry_while_qos_disallows",
                "test_get_runs_after_read_callbacks",
                "test_get_skips_brpop_health_on_events",
                "test_handle_event",
                "test_on_poll_init",
                "test_on_poll_start",
                "test_on_readable_drops_idle_brpop_connection",
                "test_on_readable_keeps_connection",
                "test_qos_reject",
                "test_qos_requeue",
            ),
        ),
        **_because(
            _SCRIPTS,
            "test_Channel",
            (
                "test_channel_without_expiring_queues_never_sweeps",
                "test_delivery_tag_is_uuid",
                "test_priority_cycle_preserves_queue_order",
                "test_refresh_and_sweep_repeat_after_their_intervals",
                "test_refresh_binding_expiry_of_consumed_queue",
                "test_refresh_binding_expiry_refreshes_before_sweeping",
                "test_refresh_binding_expiry_retries_after_failure",
                "test_refresh_binding_expiry_skips_queues_without_expires",
                "test_refresh_binding_expiry_sweeps_once_per_interval",
            ),
        ),
        **_because(
            _SCRIPTS,
            "test_Redis",
            (
                "test_get__Empty",
                "test_publish__consume",
                "test_publish__get_redispyv2",
                "test_publish__get_redispyv3",
            ),
        ),
        **_because(
            _CLASS,
            "test_Channel",
            ("test_tls_uses_batch_capable_redis_transport",),
        ),
    },
    "kombu-integration": {
        "test_event_loop_consumes_after_connection_reconnect": "it cuts the connection that stock pops with",
        "test_RedisBaseExchangeTypes::test_fanout": "it sends before anybody listens; stock counts the"
        " confirmation of the subscription as something received",
        "test_RedisRestoreVisible": _UNACKED,
        "test_RedisRestoreAtShutdown": _UNACKED,
        **_because(
            _UNACKED,
            "test_RedisRestoreBindingLookupFailure",
            (
                "test_requeue_requeues_message",
                "test_failed_requeue_keeps_message_unacked",
                "test_failed_restore_visible_keeps_message_unacked",
            ),
        ),
        **_because(
            _BRPOP,
            "test_RedisBrpopHealthCheck",
            (
                "test_live_connection_with_unread_reply_not_dropped",
                "test_half_open_connection_dropped_and_consumption_resumes",
                "test_half_open_connection_dropped_by_drain_events",
            ),
        ),
    },
    "celery-integration": {
        "test_trace_log_arguments::test_task_success": _LOGS,
        "test_trace_log_arguments::test_task_failed": _LOGS,
        "test_chain::test_chord_header_id_duplicated_on_rabbitmq_msg_duplication": "Celery expects it to fail on Redis,"
        " and knows Redis by the broker's URL",
    },
}
