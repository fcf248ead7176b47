// Which settings would likely have read a file with fewer rejects.

import * as api from "./api.js";
import { t } from "./messages.js";
import { delimiterName, encodingName } from "./settings.js";

const WINDOWS = "windows-1252";
const KINDS = { csv: "CSV", json: "JSON", fixed: t("columns of fixed width") };
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
    const format = KINDS[detected.dialect.kind];
    return {
      why: t("The file looks like {format}.", { format }),
      label: t("Read it as {format}", { format }),
      settings: {},
    };
  }
  const encoding = detected.dialect.decoded_from || detected.dialect.encoding;
  if (encoding !== (used.decoded_from || used.encoding)) return ofEncoding(encoding);
  const named = {
    delimiter: (value) => t("the delimiter {name}", { name: delimiterName(value) }),
    quote: (value) => (value ? t("quotes {name}", { name: value }) : t("no quotes")),
    header_rows: (value) => (value ? t("a header of {count}", { count: value }) : t("no header")),
  };
  for (const [name, words] of Object.entries(named)) {
    const value = detected.dialect[name];
    if (used.kind !== "csv" || value === used[name]) continue;
    return {
      why: t("The file looks as if it had {setting}.", { setting: words(value) }),
      label: t("Read it again with {setting}", { setting: words(value) }),
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
    why: t("The file looks like {format}.", { format: name }),
    label: t("Read it again as {format}", { format: name }),
    settings: { encoding },
  };
}
