// Remedies for users of this page. The service's own remedies name routes, headers and variables of
// its API.

import { t } from "./messages.js";

const REMEDIES = {
  admin_only: t("Sign in as an administrator."),
  binary_content: t("Export the data as CSV, JSON or a workbook, and choose that file."),
  bad_header: t("Correct the first line of the file, and choose it again."),
  body_too_large: t("Send less than 1 MiB here; upload files on the jobs page."),
  correction_columns: t(
    "Download the rejected rows again, correct the cells, and leave the names of the columns as they are.",
  ),
  correction_invalid: t("Correct or remove these rows."),
  duplicate_upload: t("Its job is in the list."),
  invalid_parameter: t("Correct the listed values, and try again."),
  invalid_transform: t("Correct the listed places, and try again."),
  job_has_parts: t("Open one of its parts."),
  missing_column: t("Rename the column in the file, and choose the file again."),
  not_configured: t("Ask the operator of this service to configure it."),
  quota_exceeded: t("Delete files, or wait until jobs have ended."),
  result_unavailable: t("See the summary of the job."),
  search_unavailable: t(
    "Ask the operator of this service to install the language model. Words and filters work without it.",
  ),
  stored_bytes_gone: t("Upload the file again."),
  unauthenticated: t("Check it, or ask the operator of this service for another one."),
  user_revoked: t("Ask the operator of this service to restore the user first."),
  webhook_disabled: t("Switch it on first."),
};
/** Matches routes, methods, headers and commands, which mean nothing on this page. */
const TECHNICAL =
  /\/api\/|\b(?:GET|POST|PUT|PATCH|DELETE|HEAD)\b|python -m|curl |Authorization|\$[A-Z]/;

export function remedyFor({ code, remedy = "" }) {
  if (Object.hasOwn(REMEDIES, code)) return REMEDIES[code];
  return TECHNICAL.test(remedy) ? "" : remedy;
}

/** Returns what happened, with the first error of each invalid parameter. */
export function detailOf({ detail = "", errors = [] }) {
  const named = errors
    .filter((each) => each.pointer && each.detail)
    .map((each) => `${each.pointer.split("/").slice(1).join(" ") || each.pointer}: ${each.detail}`);
  return named.length ? named.slice(0, 3).join("; ") : detail;
}
