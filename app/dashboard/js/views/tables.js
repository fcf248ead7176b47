// Tables of the user's own: what is in them, and loads of files into them.

import * as api from "../api.js";
import { button, empty, field, h, icon, replace, say, select } from "../dom.js";
import { ago, count, isFinal, plural, when } from "../format.js";
import { t } from "../messages.js";
import { badge, facts, grid, spinner } from "../parts.js";
import { DataTable } from "../table.js";
import { fail } from "../toast.js";
import { columnEditor } from "./new_table.js";

const POLL_MS = 300;
/** Pause after a change of the columns before the load is tried again. */
const TRY_MS = 500;
/** Most rows that the service skips for a page. */
const MOST_ROWS = 100_000;
const MODES = [
  ["append", t("Append: every row is new")],
  ["upsert", t("Upsert: update by key, insert the others")],
  ["update", t("Update: by key, reject the others")],
  ["insert_new", t("Insert new: skip keys that are there")],
  ["replace", t("Replace: exchange all rows")],
  ["mirror", t("Mirror: upsert, and delete what the file lacks")],
];
const POLICIES = [
  ["refuse", t("Refuse the file")],
  ["ignore", t("Leave them out")],
  ["add_columns", t("Add them to the table")],
  ["rescue", t("Keep them in a JSON column")],
];
const OUTCOMES = {
  inserted: (rows) => t("{count} inserted", { count: count(rows) }),
  updated: (rows) => t("{count} updated", { count: count(rows) }),
  unchanged: (rows) => t("{count} unchanged", { count: count(rows) }),
  skipped: (rows) => t("{count} skipped", { count: count(rows) }),
  deleted: (rows) => t("{count} deleted", { count: count(rows) }),
};
/** What a load would do. */
const WOULD = {
  inserted: (rows) => t("insert {rows}", { rows: plural(rows, "row") }),
  updated: (rows) => t("update {rows}", { rows: plural(rows, "row") }),
  unchanged: (rows) => t("leave {rows} unchanged", { rows: plural(rows, "row") }),
  skipped: (rows) => t("skip {rows}", { rows: plural(rows, "row") }),
  deleted: (rows) => t("delete {rows}", { rows: plural(rows, "row") }),
};
/** Rows of a dry run, by kind. */
const EXAMPLES = {
  inserted: t("Inserted, for example"),
  updated: t("Updated, for example"),
  unchanged: t("Unchanged, for example"),
  skipped: t("Skipped, for example"),
  deleted: t("Deleted, for example"),
};

const pathOf = (name, connection) =>
  api.query(`/api/v1/tables/${encodeURIComponent(name)}`, { connection });
const hashOf = (name, connection) =>
  api.query(`#/tables/${encodeURIComponent(name)}`, { connection });

export default function tables({ id, params }) {
  const connection = params.get("connection") ?? "";
  return id ? oneTable(id, connection) : allTables(connection, params.get("file"));
}

const refusal = (error, again) =>
  empty(
    error.title,
    [error.message, error.remedy].filter(Boolean).join(" "),
    again && button(t("Try again"), again),
  );

// ------------------------------------------------------------------------- the list

/** `wantedFile` is the id of the file that the form proposes, or null. */
function allTables(connection, wantedFile) {
  const place = h("div", {}, spinner());
  const databases = h("div");
  const create = loadForm({ isNew: true, connection, wantedFile });

  const load = api.latest(
    () =>
      Promise.all([
        api.get(api.query("/api/v1/tables", { connection, limit: 500 })),
        api.get("/api/v1/connections"),
      ]),
    ([page, { items }]) => {
      replace(databases, items.length > 1 && databaseChoice(items, connection, wantedFile));
      replace(place, page.items.length ? list(page) : noTables());
    },
    (error) => replace(place, refusal(error, load)),
  );

  function list({ items, total }) {
    return h(
      "section.card",
      {},
      grid(
        t("Tables"),
        [t("Table"), t("Kind"), t("Rows")],
        items.map((table) => [
          h("a", { href: hashOf(table.name, connection) }, table.name),
          table.kind.replace("_", " "),
          table.estimated_rows === null
            ? "–"
            : t("about {count}", { count: count(table.estimated_rows) }),
        ]),
      ),
      total > items.length &&
        h(
          "p.muted",
          {},
          t("The first {count} of {all}.", { count: count(items.length), all: count(total) }),
        ),
    );
  }

  load();
  return {
    title: t("Tables"),
    node: h(
      "div.page",
      {},
      h("div.page-head", {}, h("h1", {}, t("Tables")), databases),
      place,
      h("section.card", {}, h("h2", {}, t("New table from a file")), create.node),
    ),
    dispose: create.dispose,
  };
}

const noTables = () =>
  empty(
    t("No tables yet"),
    t("Load a file into a new table below: its types come from an analysis of the file."),
  );

function databaseChoice(items, connection, file) {
  const choice = select(
    items.map(({ name, kind, address }) => [
      name,
      name ? `${name} (${address ?? kind})` : t("This service ({kind})", { kind }),
    ]),
    connection,
    {
      "aria-label": t("Database"),
      onchange: () => (location.hash = api.query("#/tables", { connection: choice.value, file })),
    },
  );
  return choice;
}

// ------------------------------------------------------------------------- one table

function oneTable(name, connection) {
  const place = h("div", {}, spinner());
  const form = loadForm({ isNew: false, name, connection });
  let rows = null;
  const load = api.latest(
    () => api.get(pathOf(name, connection)),
    (table) => {
      form.show(table);
      rows?.dispose();
      rows = table.rows ? rowsOf(table, name, connection) : null;
      replace(place, rows?.node, description(table));
    },
    (error) => replace(place, refusal(error, load)),
  );
  load();
  return {
    title: name,
    node: h(
      "div.page",
      {},
      h("a.back", { href: api.query("#/tables", { connection }) }, icon("back"), t("All tables")),
      h("div.page-head", {}, h("h1.clip", {}, name)),
      h("section.card", {}, h("h2", {}, t("Load a file")), form.node),
      place,
    ),
    dispose() {
      form.dispose();
      rows?.dispose();
    },
  };
}

/** The rows of the table, page by page. */
function rowsOf(table, name, connection) {
  const path = `/api/v1/tables/${encodeURIComponent(name)}/rows`;
  const shown = Math.min(table.rows, MOST_ROWS);
  const rows = new DataTable({
    label: t("Rows of {name}", { name }),
    columns: table.columns.map((column) => ({
      label: column.name,
      numeric: /int|numeric|real|double|decimal/i.test(column.type),
      text: (row) => row.values[column.name] ?? "NULL",
      tone: (row) => (row.values[column.name] === null ? "muted" : ""),
    })),
    storageKey: `table:${connection}:${name}`,
    fetch: async (offset, limit) =>
      (await api.get(api.query(path, { connection, offset, limit }))).items,
  });
  requestAnimationFrame(() => rows.setCount(shown));
  const order = table.primary_key.join(", ");
  const node = h(
    "section.card.full",
    {},
    h("h2", {}, t("Rows")),
    h(
      "p.muted",
      {},
      order ? t("In the order of {columns}.", { columns: order }) : t("In no certain order."),
      " ",
      table.rows > shown && t("The first {count} are shown.", { count: count(shown) }),
    ),
    rows.node,
  );
  return { node, dispose: () => rows.dispose() };
}

function description(table) {
  const known = table.rows === null ? "–" : count(table.rows);
  const isExact = table.rows === null || table.rows_are_exact;
  const rows = isExact ? known : t("about {count}", { count: known });
  return h(
    "div.stack-of-cards",
    {},
    h(
      "section.card",
      {},
      h("h2", {}, t("Columns")),
      facts([
        [t("Rows"), rows],
        [t("Primary key"), table.primary_key.join(", ") || t("none")],
        table.triggers.length ? [t("Triggers"), table.triggers.join(", ")] : null,
        table.has_row_security ? [t("Row security"), t("on")] : null,
      ]),
      grid(
        t("Columns"),
        [t("Column"), t("Type"), "NULL", t("Default")],
        table.columns.map((column) => [
          column.name,
          column.type,
          column.nullable ? t("allowed") : t("not allowed"),
          column.generated?.replaceAll("_", " ") ?? column.default ?? "–",
        ]),
      ),
    ),
    table.constraints.length > 0 &&
      h(
        "section.card",
        {},
        h("h2", {}, t("Constraints")),
        grid(
          t("Constraints"),
          [t("Kind"), t("Columns"), t("Definition")],
          table.constraints.map((constraint) => [
            constraint.kind.replaceAll("_", " "),
            constraint.columns.join(", "),
            constraint.definition ?? constraint.references ?? "–",
          ]),
        ),
      ),
    h("section.card", {}, h("h2", {}, t("Loads")), loads(table.loads)),
  );
}

function loads(items) {
  if (!items.length) return h("p.muted", {}, t("Nothing was loaded by you yet."));
  return grid(
    t("Loads"),
    [t("File"), t("Mode"), t("State"), t("Rows"), t("When")],
    items.map((load) => [
      h("a", { href: `#/jobs/${load.job_id}` }, load.filename),
      load.summary?.dry_run ? t("{mode}, tried", { mode: load.mode }) : load.mode,
      badge(load.status),
      outcomes(load.summary) || "–",
      when(load.created_at),
    ]),
  );
}

/** "2 inserted, 1 updated", or in other words; zeros are left out. */
const outcomes = (summary, wording = OUTCOMES) =>
  Object.entries(wording)
    .filter(([outcome]) => summary?.[outcome])
    .map(([outcome, words]) => words(summary[outcome]))
    .join(", ");

// ------------------------------------------------------------------------- loading

function loadForm({ isNew, name = "", connection, wantedFile = null }) {
  const file = select([["", t("Loading …")]], "");
  const table = h("input", { required: isNew, placeholder: t("prices"), maxlength: 400 });
  const mode = select(MODES, "append");
  const key = h("input", { placeholder: isNew ? t("none") : t("the primary key") });
  const policy = select(POLICIES, "refuse");
  const most = h("input", { placeholder: "5%", maxlength: 20 });
  const mostField = field(t("Delete at most"), most, t("A number of rows, or a percentage."));
  const result = h("div", { role: "status" });
  const corrected = h("p.note", { role: "status", hidden: true });
  const jobs = new Map();
  const again = button(t("Try it"), () => run(true), { disabled: true });
  const go = button(t("Load"), null, { kind: "primary", type: "submit", disabled: true });
  let isOver = false;
  let timer = null;
  let later = null;
  let turns = 0;
  let editor = null; // the columns of a new table, once a load was tried
  const columnsPlace = h("div");
  const keyField = field(t("Key"), key, t("Columns, separated by commas."));

  mode.addEventListener("change", () => (mostField.hidden = mode.value !== "mirror"));
  mostField.hidden = true;
  const node = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        run(false);
      },
    },
    h(
      "div.form",
      {},
      field(t("File"), file, t("Upload others on the Jobs page.")),
      isNew && field(t("Name of the table"), table),
      !isNew && field(t("Rows that are there"), mode),
      keyField,
      !isNew && field(t("Columns that the table lacks"), policy),
      !isNew && mostField,
      h("div.form-end", {}, again, go),
    ),
    corrected,
    columnsPlace,
    result,
  );

  api.get(api.query("/api/v1/jobs", { limit: 100, parts: false })).then(
    async ({ items }) => {
      const files = new Map();
      const offer = (job) => {
        files.set(job.file_id, `#${job.number} ${job.filename} · ${ago(job.created_at)}`);
        jobs.set(job.file_id, job.job_id); // the first job of the file: the list begins with the last
      };
      for (const job of items) if (job.status !== "failed" && job.processor !== "load") offer(job);
      // It may be older than all jobs of the list.
      if (wantedFile && !files.has(wantedFile))
        await api.get(`/api/v1/status/${encodeURIComponent(wantedFile)}`).then(offer, fail);
      replace(
        file,
        files.size
          ? [...files].map(([id, label]) => h("option", { value: id }, label))
          : h("option", { value: "" }, t("No files yet")),
      );
      if (files.has(wantedFile)) file.value = wantedFile;
      again.disabled = go.disabled = !files.size;
      warn();
    },
    (error) => replace(result, refusal(error)),
  );

  /** Says that corrected rows of the file are not in its bytes, which a load reads. */
  async function warn() {
    const id = file.value;
    corrected.hidden = true;
    if (!jobs.has(id)) return;
    const status = await api.get(`/api/v1/status/${jobs.get(id)}`).catch(() => null);
    if (!status?.corrections.rows || file.value !== id) return;
    corrected.hidden = false;
    say(
      corrected,
      t(
        "A load reads the file as it was received: {rows} of job #{number} are rejected again. Correct them in the load, or download the results and upload those.",
        {
          rows: plural(status.corrections.rows, "corrected row"),
          number: status.number,
        },
      ),
    );
  }
  file.addEventListener("change", warn);
  file.addEventListener("change", () => edit(null));

  /** Shows the columns of the new table, or the field of the key if they are not known. */
  function edit(some) {
    editor = some;
    keyField.hidden = editor !== null;
    replace(columnsPlace, editor?.node);
    if (!editor) replace(result);
  }

  const keyColumns = () =>
    key.value
      .split(",")
      .map((column) => column.trim())
      .filter(Boolean);

  function options(isTried) {
    const { columns: chosen, types, key: columns } = editor?.options() ?? { key: keyColumns() };
    return {
      ...(chosen && { columns: chosen, types }),
      table: isNew ? table.value.trim() : name,
      mode: isNew ? "create" : mode.value,
      ...(connection && { connection }),
      ...(columns.length && { key: columns }),
      ...(!isNew && { on_schema_change: policy.value }),
      ...(mode.value === "mirror" && !isNew && { max_delete: most.value.trim() }),
      ...(isTried && { dry_run: true }),
    };
  }

  async function run(isTried) {
    if (!node.reportValidity()) return;
    clearTimeout(later);
    const turn = ++turns;
    again.disabled = go.disabled = true;
    replace(result, spinner(isTried ? t("Trying …") : t("Loading …")));
    try {
      const analysis = isNew ? await ended((await start("analyze", {})).job_id) : null;
      const { job_id } = await start("load", options(isTried));
      if (!isTried) {
        location.hash = `#/jobs/${job_id}`;
        return;
      }
      const status = await ended(job_id);
      if (turn !== turns) return; // the columns were changed meanwhile
      if (status.error) {
        replace(result, problem(status));
        return;
      }
      const answer = await api.get(`/api/v1/jobs/${job_id}/result`);
      if (isNew && !editor) edit(await columnsOf(answer.result, analysis.job_id));
      replace(result, tried(answer, status));
    } catch (error) {
      if (turn === turns) replace(result, refusal(error));
    } finally {
      if (turn === turns) again.disabled = go.disabled = false;
    }
  }

  async function columnsOf(plan, analysisId) {
    const [profile, { items }] = await Promise.all([
      api.get(`/api/v1/jobs/${analysisId}/result`),
      api.get("/api/v1/connections"),
    ]);
    const database = items.find((item) => item.name === connection);
    return columnEditor({
      profiles: (profile.result ?? profile).columns,
      proposed: plan.columns,
      dialect: database?.kind ?? "postgresql",
      key: keyColumns(),
      onchange() {
        clearTimeout(later);
        later = setTimeout(() => run(true), TRY_MS);
      },
    });
  }

  const start = (type, some) =>
    api.post("/api/v1/jobs", { type, file_id: file.value, options: some });

  /** Returns the final status of a job. Never settles once the view is left. */
  const ended = (jobId) =>
    new Promise((settle, refuse) => {
      const look = () =>
        api.get(`/api/v1/jobs/${jobId}`).then((status) => {
          if (isOver) return;
          if (isFinal(status.status)) settle(status);
          else timer = setTimeout(look, POLL_MS);
        }, refuse);
      look();
    });

  if (isNew) table.addEventListener("change", () => replace(result));
  return {
    node,
    show(description) {
      if (description.primary_key.length) key.placeholder = description.primary_key.join(", ");
    },
    dispose() {
      isOver = true;
      clearTimeout(timer);
      clearTimeout(later);
    },
  };
}

const problem = ({ error, job_id }) =>
  empty(
    t("Nothing would be loaded"),
    error.message,
    h("a.button", { href: `#/jobs/${job_id}/rejects` }, t("Show the rejects")),
  );

/** What a dry run found. */
function tried({ result }, status) {
  const rejected = status.counts.rejected;
  const left = [
    result.defaulted.length &&
      t("not in the file: {columns}", { columns: result.defaulted.join(", ") }),
    result.ignored.length && t("not loaded: {columns}", { columns: result.ignored.join(", ") }),
  ].filter(Boolean);
  return h(
    "div.tried",
    {},
    h(
      `p.${rejected ? "note" : "muted"}`,
      {},
      t("This load would {changes}.", {
        changes: outcomes(result, WOULD) || t("change nothing"),
      }),
      " ",
      rejected > 0 &&
        h(
          "a",
          { href: `#/jobs/${status.job_id}/rejects` },
          t("{rows} would be rejected.", { rows: plural(rejected, "row") }),
        ),
    ),
    result.statements.length > 0 && h("pre.code", {}, result.statements.join(";\n")),
    grid(
      t("Columns of the load"),
      [t("Column"), t("Type"), t("From the file")],
      result.columns.map((column) => [column.column, column.type, column.from]),
    ),
    left.length > 0 && h("p.muted", {}, left.join("; ")),
    Object.entries(result.samples)
      .filter(([, rows]) => rows.length)
      .map(([kind, rows]) => samples(kind, rows)),
  );
}

/** Rows of one kind; those that are updated show the values before. */
function samples(kind, rows) {
  const names = Object.keys(rows[0].data);
  const title = EXAMPLES[kind] ?? kind;
  const cell = (row, name) =>
    row.before && name in row.before
      ? h("span", {}, h("del.muted", {}, row.before[name] ?? "NULL"), " ", row.data[name] ?? "NULL")
      : row.data[name];
  return h(
    "section",
    {},
    h("h3", {}, title),
    grid(
      title,
      names,
      rows.map((row) => names.map((name) => cell(row, name))),
    ),
  );
}

export const tableLink = ({ table, connection = "" }) =>
  h("a.button", { href: hashOf(table, connection) }, t("Open table"));

// ------------------------------------------------------------------------- undo

/** A button that shows what an undo of the job would do, and undoes it once confirmed. */
export function undoButton(status, onend) {
  const path = `/api/v1/undo/${status.job_id}`;

  async function undo(dialog, place) {
    replace(place, spinner(t("Undoing …")));
    try {
      let undone = await api.post(path);
      while (undone.status !== "undone") {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        undone = await api.post(path);
      }
      dialog.close();
      onend(undone);
    } catch (error) {
      dialog.close();
      fail(error);
    }
  }

  async function ask() {
    let preview;
    try {
      preview = await api.post(`${path}?dry_run=true`);
    } catch (error) {
      fail(error);
      return;
    }
    const place = h("div");
    const dialog = h(
      "dialog.card.sheet.small",
      { "aria-label": t("Undo the load"), onclose: () => dialog.remove() },
      h("h2", {}, t("Undo the load of {name}?", { name: status.filename })),
      h(
        "p",
        {},
        t("{rows} would be removed, {count} restored.", {
          rows: plural(preview.removed, "row"),
          count: count(preview.restored),
        }),
      ),
      preview.left > 0 &&
        h(
          "div",
          {},
          h(
            "p.note",
            {},
            t("{rows} would stay as they are:", { rows: plural(preview.left, "row") }),
          ),
          h(
            "ul",
            {},
            preview.left_rows.map(({ key, row_number, reason }) =>
              h("li", {}, `${key ?? t("row {number}", { number: row_number })}: ${reason}`),
            ),
          ),
        ),
      place,
      h(
        "div.row",
        {},
        button(t("Undo"), () => undo(dialog, place), { kind: "primary" }),
        button(t("Keep the load"), () => dialog.close()),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  return button(t("Undo …"), ask);
}
