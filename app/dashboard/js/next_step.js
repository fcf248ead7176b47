// What the owner of a job does next. Pure: the page draws it.

import { canRetry, isFinal, standing } from "./format.js";

/** Processors whose rejects are findings, not missing rows. */
const UNCORRECTED = new Set(["profile", "mapping"]);
/** Formats that are stored as they were received, or nearly so. */
const READ_AGAIN = new Set(["csv", "json", "jsonl"]);
/** Processors whose result is not rows. */
const WITHOUT_ROWS = new Set(["profile", "mapping", "load"]);
/** Processors that an upload cannot name: they need more than the file. */
const MADE_ELSEWHERE = new Set([...WITHOUT_ROWS, "transform"]);

/** Whether the job was a dry run, which changes nothing. */
export const isTrial = (job) => Boolean(job.summary?.dry_run);

/** Whether the job reads an upload of its own: no part, no sheet of a workbook. */
export const canReadAgain = (job) =>
  READ_AGAIN.has(job.format) &&
  !job.parts &&
  !job.parent_id &&
  !(job.decoding ?? []).some((each) => each.sheet);

/** Whether the rejects of the job can be corrected; a correction has none of its own. */
export const isCorrectable = (job, isCorrection) =>
  !isCorrection && !job.parts && !UNCORRECTED.has(job.processor) && !isTrial(job);

/** Whether the job has loaded rows into a table. */
export const isLoaded = (job) =>
  job.processor === "load" &&
  ["completed", "completed_with_errors"].includes(job.status) &&
  !job.error &&
  !job.undo &&
  !isTrial(job);

/** Whether the job has rows to show and to download. */
export const hasResults = (job) => !job.parts && !WITHOUT_ROWS.has(job.processor);

/** Returns the name of the next step, or null: `retry`, `run_again`, `fix`, `see_rejects`, `open_table`,
 *  `see_profile`, `see_mapping` or `download`. What was lost comes before what was gained. */
export function nextStep(job, isCorrection = false) {
  if (!isFinal(job.status) || isTrial(job)) return null;
  if (canRetry(job)) return "retry";
  const state = standing(job);
  const isBroken = ["failed", "cancelled", "incomplete"].includes(state) || Boolean(job.undo);
  if (isBroken && canReadAgain(job) && !MADE_ELSEWHERE.has(job.processor)) return "run_again";
  if (job.counts.rejected && !job.parts)
    return isCorrectable(job, isCorrection) && !isBroken ? "fix" : "see_rejects";
  if (isLoaded(job)) return "open_table";
  if (state === "failed" || state === "cancelled") return null;
  if (job.processor === "profile") return "see_profile";
  if (job.processor === "mapping") return "see_mapping";
  const hasRows = hasResults(job) && job.counts.loaded > 0 && !job.rows_removed_at;
  return hasRows && !isCorrection ? "download" : null;
}
