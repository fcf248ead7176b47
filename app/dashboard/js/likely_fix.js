// Which settings would likely have read a file with fewer rejects.

import * as api from "./api.js";
import { delimiterName, encodingName } from "./settings.js";

const WINDOWS = "windows-1252";
/** Codes of rows with bytes that are no text. */
const hasWrongBytes = ({ rejected_by_code: codes }) =>
  Boolean(codes.invalid_utf8 || codes.invalid_encoding);
const preview = (job, settings = {}) =>
  api.post(api.query("/api/v1/preview", { file_id: job.file_id, rows: 0, ...settings }));

/** Returns {why, label, settings} for a job with rejects, or null. The detected settings are
 *  compared with those that were used; then the most common other encoding is tried. */
export async function likelyFix(job) {
  const detected = await preview(job);
  const used = job.dialect;
  if (detected.dialect.kind !== used.kind) {
    const name = { csv: "CSV", json: "JSON", fixed: "columns of fixed width" }[
      detected.dialect.kind
    ];
    return { why: `The file looks like ${name}.`, label: `Read it as ${name}`, settings: {} };
  }
  const encoding = detected.dialect.decoded_from || detected.dialect.encoding;
  if (encoding !== (used.decoded_from || used.encoding)) return ofEncoding(encoding);
  const named = {
    delimiter: (value) => `the delimiter ${delimiterName(value)}`,
    quote: (value) => (value ? `quotes ${value}` : "no quotes"),
    header_rows: (value) => (value ? `a header of ${value}` : "no header"),
  };
  for (const [name, words] of Object.entries(named)) {
    const value = detected.dialect[name];
    if (used.kind !== "csv" || value === used[name]) continue;
    return {
      why: `The file looks as if it had ${words(value)}.`,
      label: `Read it again with ${words(value)}`,
      settings: { [name]: value },
    };
  }
  if (!hasWrongBytes(detected.sample)) return null;
  const tried = await preview(job, { encoding: WINDOWS });
  return hasWrongBytes(tried.sample) ? null : ofEncoding(WINDOWS);
}

function ofEncoding(encoding) {
  const name = encodingName(encoding);
  return {
    why: `The file looks like ${name}.`,
    label: `Read it again as ${name}`,
    settings: { encoding },
  };
}
