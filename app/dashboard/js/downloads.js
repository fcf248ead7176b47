// All files that a job can be downloaded as. Pure.

import { query } from "./api.js";
import { isFinal } from "./format.js";
import { t } from "./messages.js";
import { hasResults } from "./next_step.js";

const FORMATS = {
  csv: "CSV",
  xlsx: "Excel",
  jsonl: "JSON Lines",
  parquet: "Parquet",
  arrow: "Arrow",
};

/** Returns [{label, href}], the most usual first; empty if there is nothing to download. The rows of
 *  a correction are in the job that it corrects. */
export function downloadsOf(job, isCorrection = false) {
  const id = encodeURIComponent(job.job_id);
  // The service refuses the file of a running job, unless the rows so far are requested.
  const partial = isFinal(job.status) ? null : true;
  const { loaded, rejected } = job.counts;
  const files = [];
  if (hasResults(job) && loaded && !isCorrection && !job.rows_removed_at) {
    for (const [format, name] of Object.entries(FORMATS)) {
      const href = query(`/api/v1/results/${id}/download`, { format, partial });
      files.push({ label: t("Rows as {format}", { format: name }), href });
    }
  }
  if (!job.parts && rejected && !job.rejects_removed_at) {
    const path = `/api/v1/rejects/${id}/download`;
    files.push({ label: t("Rejected rows as CSV"), href: query(path, { partial }) });
    const href = query(path, { format: "xlsx", partial });
    files.push({ label: t("Rejected rows as Excel"), href });
  }
  if (!job.parts && hasResults(job)) {
    const href = query(`/api/v1/files/${id}/archive`, { partial });
    files.push({ label: t("Everything as zip"), href });
  }
  return files;
}
