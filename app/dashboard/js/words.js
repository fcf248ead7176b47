// What somebody at this page can do about a refusal. The service tells clients of its API routes, headers and variables.

const REMEDIES = {
  admin_only: "Sign in as an administrator.",
  bad_header: "Correct the first line of the file, and choose it again.",
  body_too_large: "Send less than 1 MiB here; upload files on the page of the jobs.",
  correction_columns:
    "Download the rejected rows again, correct the cells, and leave the names of the columns as they are.",
  correction_invalid: "Correct or leave out these rows.",
  duplicate_upload: "It is in the list of the jobs.",
  invalid_parameter: "Correct what is named, and try again.",
  invalid_transform: "Correct the places that are named, and try again.",
  job_has_parts: "Open one of its parts.",
  missing_column: "Rename the column in the file, and choose the file again.",
  not_configured: "Ask who runs this service to set it up for this.",
  quota_exceeded: "Delete files, or wait until jobs have ended.",
  result_unavailable: "The overview of the job says what happened.",
  search_unavailable:
    "Ask who runs this service to install the language model. Words and filters work without it.",
  stored_bytes_gone: "Upload the file again.",
  unauthenticated: "Check it, or ask who runs this service for another one.",
  user_revoked: "Ask who runs this service to restore the user first.",
  webhook_disabled: "Switch it on first.",
};
/** Routes, methods, headers and commands mean nothing here. */
const TECHNICAL =
  /\/api\/|\b(?:GET|POST|PUT|PATCH|DELETE|HEAD)\b|python -m|curl |Authorization|\$[A-Z]/;

export const remedyFor = ({ code, remedy = "" }) =>
  REMEDIES[code] ?? (TECHNICAL.test(remedy) ? "" : remedy);

/** What happened, with the first thing that is wrong with each parameter that was refused. */
export function detailOf({ detail = "", errors = [] }) {
  const named = errors
    .filter((each) => each.pointer && each.detail)
    .map((each) => `${each.pointer.split("/").slice(1).join(" ") || each.pointer}: ${each.detail}`);
  return named.length ? named.slice(0, 3).join("; ") : detail;
}
