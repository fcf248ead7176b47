// What became of the rows of a job: a bar and four counts.

import { get } from "./api.js";
import { h, icon, replace, say } from "./dom.js";
import { COUNTS, count, isFinal, missing, percent, plural, standing } from "./format.js";
import { t } from "./messages.js";

/** So many rows are read again without being asked. */
export const AUTO_PROOF_ROWS = 3_000_000;
const TITLES = {
  loaded: t("Loaded"),
  rejected: t("Rejected"),
  failed: t("Failed"),
  not_processed: t("Not processed"),
};
const EXPLAINED = {
  rejected: t("your data: correct them"),
  failed: t("our side: run them again"),
  not_processed: t("the job ended before"),
};

/** The four counts. With `isExplained` each says its share and whose turn it is. */
export function countsRow({ isExplained = false } = {}) {
  const shown = Object.fromEntries(
    COUNTS.map(([name, , tone]) => [
      name,
      { tone, value: h("b"), note: h("small.muted", { hidden: true }) },
    ]),
  );
  const node = h(
    "dl.outcome-counts",
    {},
    COUNTS.map(([name, , tone]) =>
      h(
        "div.stat",
        { "data-of": name },
        h("dt", {}, h(`i.swatch.${tone}`, { "aria-hidden": "true" }), TITLES[name]),
        h("dd", {}, shown[name].value, shown[name].note),
      ),
    ),
  );
  node.show = ({ counts, rows, status, undo }) => {
    for (const [name, { tone, value, note }] of Object.entries(shown)) {
      // While a job runs, it is still going to process these.
      const isDue = name !== "not_processed" || isFinal(status);
      const number = isDue ? counts[name] : 0;
      say(value, count(number));
      value.className = number ? `${tone}-text` : "muted";
      note.hidden = !isExplained || !number || name === "loaded";
      const share = rows.total ? percent(number / rows.total) : "";
      if (name === "loaded" && undo) {
        note.hidden = !number;
        value.className = "off-text";
        say(note, undo.state === "undoing" ? t("being taken back") : t("taken back"));
        continue;
      }
      say(note, [share, EXPLAINED[name]].filter(Boolean).join(" · "));
    }
  };
  return node;
}

/** The bar of all rows; the part that is not processed yet stays empty. Its cap closes once the
 *  rows are verified. */
export function outcomeBar() {
  const segments = COUNTS.map(([name, , tone]) => h(`i.${tone}`, { "data-of": name }));
  const cap = h("span.proof-cap", {}, icon("check"));
  const node = h(
    "div.proof-bar",
    { "aria-hidden": "true" },
    h("div.proof-fill", {}, segments),
    cap,
  );
  node.show = ({ status, rows, counts, undo, progress_percent: progress }) => {
    // Loaded rows that were taken back are no success any more.
    node.classList.toggle("undone", Boolean(undo));
    const share = isFinal(status) ? 1 : progress / 100;
    const done = Math.max(rows.total - counts.not_processed, 1);
    const whole = isFinal(status) ? Math.max(rows.total, 1) : done / Math.max(share, 1e-6);
    for (const segment of segments) {
      const isDue = segment.dataset.of !== "not_processed" || isFinal(status);
      segment.style.width = isDue ? `${(100 * counts[segment.dataset.of]) / whole}%` : 0;
    }
  };
  node.close = (isWhole) => replace(cap, icon(isWhole ? "check" : "warn"));
  return node;
}

// -------------------------------------------------------------------- the proof

/** Changes when the proof must be repeated: rows of a cancelled job are counted after its end, and
 *  those of an ended one are taken back. */
export const proofKey = ({ finished_at: end, rows, counts, undo }) =>
  `${end} ${rows.total} ${counts.loaded} ${undo?.state ?? ""}`;

/** Reads the proof of a job once for all tabs: it reads every stored row again. */
export function proofsOf(path) {
  let key = null;
  let reading = null;
  return (status, isAgain = false) => {
    if (isAgain || key !== proofKey(status)) {
      key = proofKey(status);
      reading = get(`${path}/proof`);
      reading.catch(() => (key = null)); // it may work the next time
    }
    return reading;
  };
}

/** Returns {tone, text} of a proof: `closed` if all rows are accounted for and were processed,
 *  `partial` if some were not, or are not in the tables as they were loaded; `broken` if the stored
 *  rows are not those of the file. */
export function verdictOf(proof, status) {
  if (status.undo?.state === "undoing")
    return { tone: "partial", text: t("The loaded rows are being taken back.") };
  if (!proof.closes) {
    const problems = proof.problems.slice(0, 3).join("; ");
    return { tone: "broken", text: t("The rows do not add up: {problems}.", { problems }) };
  }
  const counts = COUNTS.filter(([name]) => name === "loaded" || proof.counts[name])
    .map(([name, words]) => `${count(proof.counts[name])} ${words}`)
    .join(", ");
  const values = { rows: plural(proof.rows.total, "row"), counts };
  if (!proof.rows.total && status.split_complete)
    return { tone: "closed", text: t("Verified: the file has no rows.") };
  if (!proof.is_final || missing({ ...proof, split_complete: status.split_complete }))
    return {
      tone: "partial",
      text: [
        t("{rows} accounted for, but not all were processed: {counts}.", values),
        !status.split_complete && t("The rest of the file was not read."),
      ]
        .filter(Boolean)
        .join(" "),
    };
  const since = sinceThen(proof, status);
  if (standing(status) === "failed" || since)
    return {
      tone: "partial",
      text: [t("{rows} accounted for: {counts}.", values), since].filter(Boolean).join(" "),
    };
  return { tone: "closed", text: t("Verified: {rows} accounted for: {counts}.", values) };
}

/** Tells what became of the loaded rows after the job; empty if they are as it loaded them. */
function sinceThen({ table }, { undo }) {
  if (undo) return takenBack(undo);
  if (!table) return "";
  if (table.table === "gone") return t("The table of the loaded rows is gone since.");
  if (table.table === "redefined")
    return t("The columns of the table have changed since: its rows cannot be compared.");
  return [
    table.changed && plural(table.changed, "row was changed since.", "rows were changed since."),
    table.removed && plural(table.removed, "row was removed since.", "rows were removed since."),
  ]
    .filter(Boolean)
    .join(" ");
}

function takenBack({ left }) {
  const undone = t("The job was undone: its loaded rows were taken back.");
  if (!left) return undone;
  const stays = plural(
    left,
    "row stays, because others changed it or need it.",
    "rows stay, because others changed them or need them.",
  );
  return `${undone} ${stays}`;
}
