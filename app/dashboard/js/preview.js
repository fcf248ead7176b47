// A file before it is loaded: what was detected, the settings, the first rows, and other readings.

import * as api from "./api.js";
import { announce, button, h, replace, say } from "./dom.js";
import { ago, bytes, count, percent, plural } from "./format.js";
import { t } from "./messages.js";
import {
  FORMATS,
  delimiterName,
  described,
  encodingName,
  parameters,
  settingFields,
} from "./settings.js";

const ROWS = 50;
const FIRST_BYTES = 512 << 10;
/** Archives and workbooks say at their end what is in them; the service reads so much of them. */
const WHOLE_BYTES = 16 << 20;
const NEEDS_ALL = [
  [0x50, 0x4b, 0x03, 0x04],
  [0xd0, 0xcf, 0x11, 0xe0],
];
const SHOWN_COLUMNS = 60;

/** Returns the bytes of a file that a preview needs. */
async function beginning(file) {
  const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const isArchive = NEEDS_ALL.some((magic) => magic.every((byte, place) => start[place] === byte));
  return file.slice(0, isArchive ? WHOLE_BYTES : FIRST_BYTES);
}

/** `source` is {file} or {fileId}; `settings` those that are chosen, which this changes.
 *  `onchange(answer)` gets each preview, or null after a refusal. */
export function previewOf(source, settings, onchange = (_answer) => {}) {
  const summary = h("p.preview-summary", { role: "status" }, t("Reading the beginning …"));
  const notes = h("div.preview-notes");
  const form = h("div");
  const table = h("div");
  const others = h("div.row");
  const node = h("div.preview", {}, summary, form, notes, others, table);
  let last = null;

  const ask = async () => {
    const wanted = { ...parameters(settings), rows: ROWS };
    if (source.fileId)
      return api.post(api.query("/api/v1/preview", { ...wanted, file_id: source.fileId }));
    const body = await beginning(source.file);
    const partial = body.size < source.file.size || null;
    return api.request(
      "POST",
      api.query("/api/v1/preview", { ...wanted, partial, filename: source.file.name }),
      { body, headers: { "Content-Type": "application/octet-stream" } },
    );
  };

  const change = (name, value) => {
    if (value === null) delete settings[name];
    else settings[name] = value;
    load();
  };
  const apply = (changes) => {
    Object.assign(settings, changes);
    announce(t("Read as {settings}", { settings: described(changes) }));
    load();
  };

  const resetButton = () =>
    Object.keys(settings).length
      ? button(t("Use what is detected"), () => {
          for (const name of Object.keys(settings)) delete settings[name];
          load();
        })
      : null;

  function show(answer) {
    last = answer;
    say(summary, inWords(answer));
    drawForm(answer);
    replace(notes, skippedLines(answer, apply), otherTables(answer), lastTime(answer, apply));
    replace(
      others,
      resetButton(),
      answer.readings.length || answer.records.length
        ? h("span.muted", {}, t("Or read it as:"))
        : null,
      answer.records.map((records) =>
        button(t("records at {path}", { path: records }), () => apply({ records })),
      ),
      answer.readings.map((reading) =>
        button(
          [
            described(reading.settings),
            plural(reading.column_count, "column"),
            t("{count} rejected", { count: count(reading.rejected) }),
          ].join(" · "),
          () => apply(reading.settings),
          { title: t("Probability {share}", { share: percent(reading.confidence) }) },
        ),
      ),
    );
    replace(table, rowsTable(answer, apply), rejectList(answer));
    onchange(answer);
  }

  function refuse(error) {
    if (error.status === 401) return; // the page asks for a key, then this is loaded again
    const title = error.title && !/[.!?]$/.test(error.title) ? `${error.title}.` : error.title;
    say(summary, [title, error.message, error.remedy].filter(Boolean).join(" "));
    drawForm(last);
    replace(notes);
    replace(others, resetButton());
    replace(table);
    onchange(null);
  }

  /** Draws the fields again; the one that has the focus keeps it. */
  function drawForm(answer) {
    const controls = () => [...form.querySelectorAll("input, select")];
    const place = controls().indexOf(document.activeElement);
    replace(form, settingFields(settings, answer, change));
    if (place >= 0) controls()[place]?.focus();
  }

  const load = api.latest(ask, show, refuse);
  const stopWaiting = api.onSignedIn(load);
  load();
  return { node, apply, dispose: stopWaiting };
}

/** Says what was detected, in a sentence. */
function inWords({ dialect, confidence, columns, sample, decoding }) {
  const isCsv = dialect.kind === "csv";
  const how = decoding.map(({ decoder, encoding, sheet, confidence: sure }) =>
    decoder === "text"
      ? `${encodingName(encoding)}${sure ? ` (${percent(sure)})` : ""}`
      : `${decoder}${sheet ? t(", sheet {sheet}", { sheet }) : ""}`,
  );
  const { ok, rejected } = sample.rows;
  const part = sample.is_complete
    ? t("In the file")
    : t("In the first {size}", { size: bytes(sample.size_bytes) });
  return [
    [
      FORMATS[dialect.kind] ?? "JSON",
      ...how,
      !how.length && encodingName(dialect.encoding),
      dialect.kind === "fixed" && confidence && percent(confidence.delimiter),
      isCsv &&
        t("delimiter {delimiter} ({share})", {
          delimiter: delimiterName(dialect.delimiter),
          share: percent(confidence.delimiter),
        }),
      isCsv && `${plural(dialect.header_rows, "header row")} (${percent(confidence.header)})`,
      plural(columns.length, "column"),
    ]
      .filter(Boolean)
      .join(" · "),
    t("{part}: {rows} to load, {rejected} rejected.", {
      part,
      rows: plural(ok, "row"),
      rejected: count(rejected),
    }),
  ].join(". ");
}

const REASONS = {
  delimiter: t("names the delimiter"),
  comment: t("a comment"),
  title: t("a title"),
  metadata: t("about the file"),
  empty: t("empty"),
  count: t("counts the rows"),
  note: t("a note"),
};

function skippedLines({ dialect }, apply) {
  const skipped = dialect.skipped ?? [];
  if (!skipped.length) return null;
  return h(
    "ul.skipped",
    { "aria-label": t("Lines that are no rows") },
    skipped.map(({ lines: [first, end], why, text }) =>
      h(
        "li",
        {},
        first < dialect.data_line ? lineButton(first, apply) : h("span.muted.num", {}, `${first}`),
        h(
          "span.muted",
          {},
          `${end > first ? t("to {end}, ", { end }) : ""}${REASONS[why] ?? why}:`,
        ),
        h("span.clip", {}, text || t("(no text)")),
      ),
    ),
  );
}

function otherTables({ dialect }) {
  const others = dialect.other_tables ?? [];
  if (!others.length) return null;
  const lines = others.map((each) => each.line).join(", ");
  return h(
    "p.note",
    {},
    t(
      "Another table seems to begin in line {lines}. Its rows are read as rows of the first table, or rejected if they have another width.",
      { lines },
    ),
  );
}

/** A line number that makes its line the header. */
const lineButton = (line, apply) =>
  button(String(line), () => apply({ skip_rows: line - 1, header_rows: 1 }), {
    kind: "line",
    title: t("Use line {line} as the header", { line }),
    "aria-label": t("Use line {line} as the header", { line }),
  });

function lastTime({ last_time: before }, apply) {
  if (!before) return null;
  return h(
    "p.note",
    {},
    t("All rows of a file with this header were loaded {when} ({name}). ", {
      when: ago(before.created_at),
      name: before.filename,
    }),
    Object.keys(before.settings).length
      ? button(t("As last time: {settings}", { settings: described(before.settings) }), () =>
          apply(before.settings),
        )
      : t("It was read in the same way."),
  );
}

const TYPE_NAMES = {
  integer: t("whole number"),
  decimal: t("number"),
  datetime: t("date and time"),
};

function rowsTable({ columns, types, rows, dialect }, apply) {
  const shown = columns.slice(0, SHOWN_COLUMNS);
  const isCsv = dialect.kind === "csv";
  const heads = shown.map((name, place) => {
    const type = types[place];
    const label = type && (TYPE_NAMES[type.subtype] ?? type.subtype ?? type.type);
    return h(
      "th",
      { scope: "col" },
      h("span.clip", { title: name }, name || t("(no name)")),
      type &&
        h(
          "span.muted.type",
          { title: type.explanation ?? null },
          type.confidence ? `${label} · ${percent(type.confidence)}` : t("no values"),
        ),
    );
  });
  const cells = (data) =>
    Array.isArray(data) ? shown.map((_, place) => data[place]) : shown.map((name) => data[name]);
  const text = (value) =>
    value === null || value === undefined
      ? "∅"
      : typeof value === "string"
        ? value
        : JSON.stringify(value);
  const body = rows.map(({ line, data }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, isCsv ? lineButton(line, apply) : String(line)),
      cells(data).map((value) =>
        h(`td${value === null || value === undefined ? ".null" : ""}`, {}, text(value)),
      ),
    ),
  );
  return h(
    "div.scroll.preview-rows",
    { tabindex: 0, role: "region", "aria-label": t("First rows") },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("Line")), heads)),
      h("tbody", {}, body),
    ),
    columns.length > shown.length &&
      h("p.muted", {}, t("{count} more columns.", { count: count(columns.length - shown.length) })),
  );
}

function rejectList({ rejects }) {
  if (!rejects.length) return null;
  return h(
    "details",
    { open: true },
    h(
      "summary",
      {},
      t("Rows that would be rejected (the first {count})", { count: rejects.length }),
    ),
    h(
      "ul.preview-rejects",
      {},
      rejects.map(({ line, message }) =>
        h("li", {}, h("span.muted.num", {}, t("Line {line}", { line })), h("span", {}, message)),
      ),
    ),
  );
}
