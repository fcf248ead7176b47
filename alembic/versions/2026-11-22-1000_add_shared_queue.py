"""Add the shared queue: the tables and functions of procrastinate, on PostgreSQL."""

from __future__ import annotations

from typing import Any

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        # here: every start reads this file, and it takes half a second
        from procrastinate.schema import SchemaManager

        _run(connection, SchemaManager.get_schema())


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    _run(
        connection,
        """
        DO $$
        DECLARE each regprocedure;
        BEGIN
            DROP TABLE procrastinate_periodic_defers, procrastinate_events, procrastinate_jobs, procrastinate_workers CASCADE;
            FOR each IN
                SELECT oid FROM pg_proc
                WHERE proname LIKE 'procrastinate%' AND pronamespace = current_schema()::regnamespace
            LOOP
                EXECUTE format('DROP FUNCTION %s CASCADE', each);
            END LOOP;
            DROP TYPE procrastinate_job_to_defer_v1, procrastinate_job_event_type, procrastinate_job_status CASCADE;
        END $$
        """,
    )


def _run(connection: Any, script: str) -> None:
    """Several statements at once, which a prepared statement cannot be; in the transaction of the
    migration.
    """
    # the transaction begins with the first statement of SQLAlchemy
    connection.exec_driver_sql("SELECT 1")
    connection.connection.dbapi_connection.run_async(lambda driver: driver.execute(script))
