"""Operation ids of the OpenAPI document, which generated clients use as names."""

from __future__ import annotations

import re

from fastapi.routing import APIRoute

from app.api import health
from app.api.openapi import name_operations
from app.features import FEATURES

NAMES = {
    "upload_file", "get_status", "watch_status", "get_results", "download_results",
    "get_rejects", "list_reject_causes", "download_rejects", "download_archive",
    "read_upload_again", "get_bytes", "find_results", "get_row_origin", "delete_file", "download_file", "preview_file",
    "describe_uploads", "create_upload", "append_to_upload", "delete_upload", "get_upload",
    "correct_rejects", "list_earlier_corrections", "use_earlier_corrections",
    "list_jobs", "list_labels", "change_jobs", "create_job", "watch_jobs", "get_job", "change_priority",
    "get_proof", "get_chunks", "cancel_job", "retry_job", "get_job_status", "get_job_result",
    "analyze_file", "create_template", "list_templates", "get_template", "edit_template",
    "delete_template", "transform_file", "map_columns", "list_connections", "list_tables",
    "get_table", "get_row_history", "create_batch_job", "list_job_types",
    "score_transactions", "list_schedules", "create_schedule", "get_schedule",
    "change_schedule", "delete_schedule", "run_schedule",
    "list_watches", "create_watch", "get_watch", "change_watch", "delete_watch", "run_watch", "list_watched_objects",
    "list_webhooks", "create_webhook",
    "get_webhook", "change_webhook", "delete_webhook", "rotate_webhook_secret", "test_webhook",
    "list_deliveries", "replay_delivery", "undo_job", "upload_batch", "get_batch",
    "delete_batch", "get_batch_results", "list_batches", "upload_import", "list_imports",
    "get_import", "delete_import", "search_records", "get_stats", "get_me", "sign_in",
    "sign_out", "list_users", "create_user", "get_user", "revoke_user", "list_keys",
    "create_key", "revoke_key", "get_retention", "get_system", "get_system_history", "get_settings",
    "get_addresses", "get_health", "get_readiness",
    "get_metrics", "explain_error",
}  # fmt: skip
"""All ids in the order of the routes. Changing one breaks generated clients."""


def operation_ids() -> list[str | None]:
    routers = [feature.router for feature in FEATURES if feature.has_endpoints]
    routes = [route for router in [*routers, health.router] for route in router.routes]
    name_operations(routes)
    named = [route for route in routes if isinstance(route, APIRoute)]
    return [route.operation_id for route in named if route.include_in_schema]


def test_operations_keep_their_ids() -> None:
    names = operation_ids()
    assert set(names) == NAMES
    assert len(names) == len(NAMES)


def test_names_are_short() -> None:
    for name in NAMES:
        assert re.fullmatch(r"[a-z]+(_[a-z]+){1,2}", name), name
        assert len(name) <= 24, name
