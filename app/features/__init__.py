"""The features. Adding one is a package here, and a line in the list."""

from __future__ import annotations

from app.feature import Feature
from app.features.analysis.feature import ANALYSIS
from app.features.batch_jobs.feature import BATCH_JOBS
from app.features.batches.feature import BATCHES
from app.features.corrections.feature import CORRECTIONS
from app.features.files.feature import FILES
from app.features.imports.feature import IMPORTS
from app.features.job_types.feature import JOB_TYPES
from app.features.jobs.feature import JOBS
from app.features.mapping.feature import MAPPING
from app.features.preview.feature import PREVIEW
from app.features.retention.feature import RETENTION
from app.features.rows.feature import ROWS
from app.features.schedules.feature import SCHEDULES
from app.features.scoring.feature import SCORING
from app.features.sentiment.feature import SENTIMENT
from app.features.system.feature import SYSTEM
from app.features.tables.feature import TABLES
from app.features.templates.feature import TEMPLATES
from app.features.transform.feature import TRANSFORM
from app.features.undo.feature import UNDO
from app.features.uploads.feature import UPLOADS
from app.features.users.feature import USERS
from app.features.watches.feature import WATCHES
from app.features.webhooks.feature import WEBHOOKS

FEATURES: tuple[Feature, ...] = (
    FILES,
    ROWS,
    PREVIEW,
    UPLOADS,
    CORRECTIONS,
    JOBS,
    ANALYSIS,
    TEMPLATES,
    TRANSFORM,
    TABLES,
    MAPPING,
    BATCH_JOBS,
    JOB_TYPES,
    SCORING,
    SCHEDULES,
    WATCHES,
    WEBHOOKS,
    UNDO,
    BATCHES,
    IMPORTS,
    SENTIMENT,
    USERS,
    RETENTION,
    SYSTEM,
)
"""In the order in which their routes are matched and their services made."""
