// The summary of a job, for its owner: what came in, what became of it, why rows were rejected, and
// the first rows.

import * as api from "../api.js";
import { button, h, replace, say } from "../dom.js";
import { bytes, count, isFinal, missing, percent, plural, standing, when } from "../format.js";
import { jobLink } from "../job_links.js";
import { likelyFix } from "../likely_fix.js";
import { t } from "../messages.js";
import { canReadAgain, hasResults, isLoaded, isTrial } from "../next_step.js";
import { AUTO_PROOF_ROWS, countsRow, outcomeBar, proofKey, verdictOf } from "../outcome.js";
import { badge, facts } from "../parts.js";
import { reasonsOf } from "../reasons.js";
import { delimiterName, encodingName } from "../settings.js";

const FIRST_ROWS = 10;
const MAX_COLUMNS = 30;
const MAX_REASONS = 8;
const FORMATS = {
  csv: "CSV",
  fixed: t("Columns of fixed width"),
  json: "JSON",
  jsonl: "JSON Lines",
  parquet: "Parquet",
  arrow: "Arrow",
  orc: "ORC",
  xlsx: t("Workbook"),
  objects: t("Several files"),
  batch: t("Several files"),
};
const TABLE_CHANGES = {
  inserted: t("Inserted"),
  updated: t("Updated"),
  unchanged: t("Unchanged"),
  skipped: t("Skipped"),
  deleted: t("Deleted"),
};
const ARCHIVES = new Set(["zip", "tar"]);

export default function summary({ path, status: first, proofs, openSheet, propose }) {
  let status = first;
  let isGone = false;
  const outcome = outcomeCard(proofs);
  const proposal = h("p.note.wide", { hidden: true });
  const reservation = h("p.note.wide", { hidden: true });
  const reasons = h("section.card", { hidden: true });
  const file = h("section.card", {});
  const rows = h("section.card.wide", { hidden: true });
  const node = h(
    "div.grid-2.summary",
    {},
    reservation,
    outcome.node,
    proposal,
    reasons,
    file,
    rows,
    status.parts && partsCard(status),
  );

  function draw() {
    const text = reservationOf(status);
    reservation.hidden = !text;
    say(reservation, text);
    outcome.show(status);
    drawFile(file, status);
    drawReasons();
    drawRows();
  }

  const drawReasons = api.latest(
    async () => {
      if (status.parts || !status.counts.rejected || status.rejects_removed_at) return {};
      const id = encodeURIComponent(status.job_id);
      return (await api.get(api.query(`/api/v1/rejects/${id}`, { limit: 1 }))).codes;
    },
    (codes) => !isGone && showReasons(reasons, status, codes),
    () => {}, // the counts are shown, and the rejects have a tab of their own
  );

  const drawRows = api.latest(
    async () => {
      if (isLoaded(status)) return (await api.get(`${path}/result`)).result;
      if (!hasResults(status)) return null;
      if (status.rows_removed_at) return { items: [], columns: [] };
      if (!status.counts.loaded) return { items: [], columns: [] };
      const id = encodeURIComponent(status.job_id);
      return api.get(api.query(`/api/v1/results/${id}`, { limit: FIRST_ROWS }));
    },
    (page) => {
      if (isGone) return;
      if (isLoaded(status)) showTable(rows, page);
      else showRows(rows, status, page);
    },
    () => {},
  );

  /** Proposes other settings if rows were rejected and the file looks as if it were read wrongly. */
  async function readLikelyFix() {
    if (!isFinal(status.status) || !canReadAgain(status) || !status.counts.rejected) return;
    const fix = await likelyFix(status);
    if (!fix || isGone) return;
    proposal.hidden = false;
    replace(
      proposal,
      `${fix.why} `,
      button(fix.label, () => openSheet(fix.settings), { kind: "primary" }),
    );
    propose(true);
  }
  const proposeQuietly = () => readLikelyFix().catch(() => {}); // "Read again with …" is still there

  draw();
  proposeQuietly();
  return {
    node,
    update(fresh) {
      const isChanged =
        fresh.status !== status.status ||
        fresh.updated_at !== status.updated_at ||
        fresh.undo_state !== status.undo_state ||
        ["loaded", "rejected", "failed"].some((name) => fresh.counts[name] !== status.counts[name]);
      const hasEnded = isFinal(fresh.status) && !isFinal(status.status);
      // Reasons and rows of a running job are read at its first rows, and at its end.
      const isFirst = !status.counts.loaded !== !fresh.counts.loaded;
      const isFirstReject = !status.counts.rejected !== !fresh.counts.rejected;
      status = fresh;
      if (isFinal(fresh.status) ? isChanged : isFirst || isFirstReject) draw();
      else {
        outcome.show(status);
        drawFile(file, status);
      }
      if (hasEnded) proposeQuietly();
    },
    dispose() {
      isGone = true;
      outcome.dispose();
    },
  };
}

/** Says why the counts of a job are not what is in the tables now; empty if they are. */
function reservationOf(status) {
  const { undo } = status;
  if (isTrial(status))
    return t("This was a trial: the counts say what would happen, and nothing was changed.");
  if (undo?.state === "undoing") return t("The rows of this job are being removed.");
  if (!undo) return "";
  return t("This job was undone: {removed} rows were removed and {restored} restored.", {
    removed: count(undo.removed ?? 0),
    restored: count(undo.restored ?? 0),
  });
}

// -------------------------------------------------------------------- what became of the rows

function outcomeCard(proofs) {
  const bar = outcomeBar();
  const counts = countsRow({ isExplained: true });
  const verdict = h("p.proof-text", { role: "status" });
  const check = button(t("Verify now"), () => prove(), { hidden: true });
  const node = h(
    "section.card.wide.proof",
    { "aria-label": t("What became of the rows") },
    bar,
    counts,
    h("div.row.between", {}, verdict, check),
  );
  let latest = null;
  let asked = null;
  let isGone = false;

  const tone = (name) => {
    for (const each of ["closed", "partial", "broken"]) node.classList.toggle(each, each === name);
  };

  async function prove() {
    const mine = (asked = proofKey(latest));
    check.hidden = true;
    say(verdict, t("Verifying the stored rows …"));
    try {
      const result = verdictOf(await proofs(latest), latest);
      if (isGone || mine !== asked) return;
      tone(result.tone);
      bar.close(result.tone === "closed");
      say(verdict, result.text);
    } catch (error) {
      if (isGone || mine !== asked) return;
      say(verdict, t("The rows cannot be verified now: {reason}", { reason: error.message }));
      check.hidden = false;
    }
  }

  return {
    node,
    show(status) {
      latest = status;
      bar.show(status);
      counts.show(status);
      if (!isFinal(status.status)) {
        asked = null;
        tone(null);
        check.hidden = true;
        say(verdict, underway(status));
      } else if (asked !== proofKey(status)) {
        tone(null);
        if (status.rows.total <= AUTO_PROOF_ROWS) prove();
        else {
          asked = proofKey(status);
          const text = t("Done. To verify so many rows takes a while: each is read again.");
          say(verdict, [text, missing(status)].filter(Boolean).join(" "));
          check.hidden = false;
        }
      }
    },
    dispose: () => (isGone = true),
  };
}

/** Says what a job that has not ended is doing. */
function underway(status) {
  if (status.waiting_on && !status.waiting_since)
    return t("Waits for {what}.", { what: status.waiting_on });
  if (status.waiting_on)
    return t("Waits for {what}, since {time}.", {
      what: status.waiting_on,
      time: when(status.waiting_since),
    });
  if (status.status === "queued")
    return t("Waiting in the queue. Jobs of a higher priority go first.");
  if (!status.rows.total) return t("Just started: rows appear with the first part of the file.");
  return t("Each row ends in one of these four. At the end all of them are verified.");
}

// -------------------------------------------------------------------- what came in

function drawFile(node, status) {
  const { fetched } = status;
  const dialect = status.parts ? {} : status.dialect; // its parts may differ
  const decoders = (status.decoding ?? []).map(decoderName).filter(Boolean);
  const encoding = dialect.decoded_from || dialect.encoding;
  const header = dialect.header_rows;
  const rows = count(status.rows.total);
  replace(
    node,
    h("h2", {}, t("What came in")),
    facts([
      [t("File"), status.filename],
      status.size_bytes !== null && [t("Size"), bytes(status.size_bytes)],
      [t("Rows"), status.split_complete ? rows : t("{rows} so far", { rows })],
      status.columns.length > 0 && [t("Columns"), count(status.columns.length)],
      [t("Format"), [FORMATS[status.format] ?? status.format, ...decoders].join(", ")],
      encoding && [t("Encoding"), encodingName(encoding)],
      dialect.delimiter && [t("Delimiter"), delimiterName(dialect.delimiter)],
      header !== undefined && [
        t("Header"),
        header ? plural(header, "row") : t("none: columns are numbered"),
      ],
      dialect.skipped?.length > 0 && [
        t("Lines above and between"),
        t("{count} left out", { count: count(linesIn(dialect.skipped)) }),
      ],
      fetched ? [t("Read from"), fetched.uri] : [t("Source"), t("An upload")],
      [t("Received"), when(status.created_at)],
      [t("Processor"), status.processor],
    ]),
    !isFinal(status.status) &&
      !status.columns.length &&
      !status.parts &&
      h("p.muted", {}, t("Columns are listed once the first rows are read.")),
  );
}

const linesIn = (skipped) => skipped.reduce((sum, { lines: [from, to] }) => sum + to - from + 1, 0);

/** What a decoder did, in a few words. */
function decoderName({ decoder, sheet, member }) {
  if (sheet) return t("sheet {name}", { name: sheet });
  if (ARCHIVES.has(decoder)) return member ? t("from an archive: {name}", { name: member }) : "";
  return decoder === "text" || decoder === "json" || decoder === "xml" ? "" : decoder;
}

// -------------------------------------------------------------------- why rows were not loaded

function showReasons(node, status, codes) {
  const causes = reasonsOf(codes);
  const shown = causes.slice(0, MAX_REASONS);
  const others = causes.slice(MAX_REASONS).reduce((sum, each) => sum + each.count, 0);
  const failures = status.counts.failed ? failuresOf(status) : [];
  const error = status.error && (status.error.message ?? status.error.code);
  const isTold = failures.some(({ message }) => message === error);
  const removedAt = status.counts.rejected > 0 ? status.rejects_removed_at : null;
  node.hidden = !shown.length && !failures.length && !error && !removedAt;
  if (node.hidden) return;
  const most = Math.max(
    ...shown.map((each) => each.count),
    ...failures.map((each) => each.rows ?? 0),
    1,
  );
  const bar = (number, tone) =>
    h(
      "span.reason-bar",
      { "aria-hidden": "true" },
      h(`i.${tone}`, { style: { width: `${(100 * number) / most}%` } }),
    );
  replace(
    node,
    error && !isTold && h("p.lost", {}, error),
    removedAt && [
      h("h2", {}, t("Why rows were rejected")),
      h("p.muted", {}, t("The rejects were deleted on {date}.", { date: when(removedAt) })),
    ],
    failures.length > 0 && [
      h("h2", {}, t("Why rows failed")),
      h(
        "p.muted.hint",
        {},
        t("The reason is not in the file: a retry runs only these rows again."),
      ),
      h(
        "ul.reasons",
        { "aria-label": t("Why rows failed") },
        failures.map(({ message, rows }) =>
          h(
            "li",
            {},
            h("span", {}, message),
            rows !== null && [h("b", {}, count(rows)), bar(rows, "bad")],
          ),
        ),
      ),
    ],
    shown.length > 0 && [
      h("h2", {}, t("Why rows were rejected")),
      h(
        "ul.reasons",
        { "aria-label": t("Why rows were rejected") },
        shown.map(({ code, name, count: number }) =>
          h(
            "li",
            {},
            h(
              "a",
              { href: `${jobLink(status, "rejects")}?code=${encodeURIComponent(code)}` },
              name,
            ),
            h("b", {}, `${count(number)} · ${percent(number / Math.max(1, status.rows.total))}`),
            bar(number, "warn"),
          ),
        ),
      ),
      others > 0 && h("p.muted", {}, t("{count} for other reasons", { count: count(others) })),
    ],
  );
}

/** Failed rows by message, as [{message, rows}], the most first. `rows` is null if the service does
 *  not list all that failed. */
function failuresOf({ errors, counts }) {
  const rows = new Map();
  for (const { error, row_count: number } of errors) {
    if (!error) continue;
    const message = error.message ?? error.code;
    rows.set(message, (rows.get(message) ?? 0) + (number ?? 0));
  }
  const listed = [...rows.values()].reduce((sum, number) => sum + number, 0);
  const isComplete = listed >= counts.failed;
  return [...rows]
    .sort((a, b) => b[1] - a[1])
    .map(([message, number]) => ({ message, rows: isComplete ? number : null }));
}

// -------------------------------------------------------------------- the first rows

function showRows(node, status, page) {
  node.hidden = page === null;
  if (page === null) return;
  const title = h("h2", {}, t("First rows"));
  if (!page.items.length) {
    replace(node, title, h("p.muted", {}, withoutRows(status)));
    return;
  }
  const names = page.columns.slice(0, MAX_COLUMNS);
  const more = page.columns.length - names.length;
  const label = t("First rows of {name}", { name: status.filename });
  replace(
    node,
    h(
      "div.row.between",
      {},
      title,
      h(
        "a",
        { href: jobLink(status, "results") },
        isFinal(status.status)
          ? t("All {rows}", { rows: plural(page.total, "row") })
          : t("All rows so far"),
      ),
    ),
    h(
      "div.scroll",
      { tabindex: 0, role: "region", "aria-label": label },
      h(
        "table",
        {},
        h("caption.hidden", {}, label),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            [t("Row"), ...names].map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          page.items.map(({ row_number: number, data }) =>
            h(
              "tr",
              {},
              h("td.num.muted", {}, count(number)),
              names.map((_, place) => cell(data.row[place])),
            ),
          ),
        ),
      ),
    ),
    more > 0 &&
      h("p.muted", {}, t("{count} more columns are in the results.", { count: count(more) })),
  );
}

/** Says what a load did to its table. */
function showTable(node, { table, ...result }) {
  const done = Object.entries(TABLE_CHANGES).filter(([name]) => result[name]);
  node.hidden = false;
  replace(
    node,
    h("h2", {}, t("The table")),
    facts([
      [t("Name"), table],
      ...done.map(([name, label]) => [label, plural(result[name], "row")]),
    ]),
  );
}

function cell(value) {
  if (value === null || value === undefined) return h("td.muted", { title: t("no value") }, "–");
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return h("td", { title: text.length > 40 ? text : null }, text);
}

/** Explains why there are no rows, and what to do. */
function withoutRows(status) {
  const { loaded, rejected, failed } = status.counts;
  if (status.rows_removed_at) {
    const date = when(status.rows_removed_at);
    return t("The rows were deleted on {date}: this service keeps them for a limited time.", {
      date,
    });
  }
  if (!isFinal(status.status))
    return t("Rows appear here once the first part of the file is done.");
  if (loaded)
    return status.parent_id
      ? t("These rows are in the results of the corrected job.")
      : t("This job stores no rows.");
  if (rejected && !failed)
    return t("No row was loaded: all that were read are in the rejects, each with its reason.");
  if (rejected || failed || status.counts.not_processed) return t("No row was loaded.");
  return t("The file has no rows. If it should have some, read it again with another header.");
}

// -------------------------------------------------------------------- the parts

function partsCard(status) {
  const list = h("ul.plain");
  api.get(api.query("/api/v1/jobs", { parent: status.job_id, limit: 500 })).then(
    ({ items }) =>
      replace(
        list,
        // Parts that need a look come first.
        items
          .toSorted((a, b) => trouble(b) - trouble(a))
          .map((part) =>
            h(
              "li",
              {},
              badge(standing(part)),
              h("a.clip", { href: jobLink(part) }, part.filename),
              h("span.muted", {}, partCounts(part)),
            ),
          ),
      ),
    () => {},
  );
  return h("section.card.wide", {}, h("h2", {}, plural(status.parts.total, "part")), list);
}

const trouble = ({ counts }) => Number(counts.rejected + counts.failed + counts.not_processed > 0);

function partCounts({ counts }) {
  return [
    t("{count} loaded", { count: count(counts.loaded) }),
    counts.rejected && t("{count} rejected", { count: count(counts.rejected) }),
    counts.failed && t("{count} failed", { count: count(counts.failed) }),
  ]
    .filter(Boolean)
    .join(", ");
}
