// Remedies for users of this page. The service's own remedies name routes, headers and variables of
// its API.

import { t } from "./messages.js";

const REMEDIES = {
  admin_only: "Sign in as an administrator.",
  bad_header: "Correct the first line of the file, and choose it again.",
  body_too_large: "Send less than 1 MiB here; upload files on the jobs page.",
  correction_columns:
    "Download the rejected rows again, correct the cells, and leave the names of the columns as they are.",
  correction_invalid: "Correct or remove these rows.",
  duplicate_upload: "Its job is in the list.",
  invalid_parameter: "Correct the listed values, and try again.",
  invalid_transform: "Correct the listed places, and try again.",
  job_has_parts: "Open one of its parts.",
  missing_column: "Rename the column in the file, and choose the file again.",
  not_configured: "Ask the operator of this service to configure it.",
  quota_exceeded: "Delete files, or wait until jobs have ended.",
  result_unavailable: "See the summary of the job.",
  search_unavailable:
    "Ask the operator of this service to install the language model. Words and filters work without it.",
  stored_bytes_gone: "Upload the file again.",
  unauthenticated: "Check it, or ask the operator of this service for another one.",
  user_revoked: "Ask the operator of this service to restore the user first.",
  webhook_disabled: "Switch it on first.",
};
/** Matches routes, methods, headers and commands, which mean nothing on this page. */
const TECHNICAL =
  /\/api\/|\b(?:GET|POST|PUT|PATCH|DELETE|HEAD)\b|python -m|curl |Authorization|\$[A-Z]/;

export function remedyFor({ code, remedy = "" }) {
  if (Object.hasOwn(REMEDIES, code)) return t(REMEDIES[code]);
  return TECHNICAL.test(remedy) ? "" : remedy;
}

/** Returns what happened, with the first error of each invalid parameter. */
export function detailOf({ detail = "", errors = [] }) {
  const named = errors
    .filter((each) => each.pointer && each.detail)
    .map((each) => `${each.pointer.split("/").slice(1).join(" ") || each.pointer}: ${each.detail}`);
  return named.length ? named.slice(0, 3).join("; ") : detail;
}
