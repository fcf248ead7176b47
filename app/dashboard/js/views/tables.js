// Tables of the user's own: what is in them, and loads of files into them.

import * as api from "../api.js";
import { button, empty, field, h, icon, replace, select } from "../dom.js";
import { ago, count, isFinal, plural, when } from "../format.js";
import { badge, facts, spinner } from "../parts.js";
import { fail } from "../toast.js";

const POLL_MS = 300;
const MODES = [
  ["append", "Append: every row is new"],
  ["upsert", "Upsert: update by key, insert the others"],
  ["update", "Update: by key, reject the others"],
  ["insert_new", "Insert new: skip keys that are there"],
  ["replace", "Replace: exchange all rows"],
  ["mirror", "Mirror: upsert, and delete what the file lacks"],
];
const POLICIES = [
  ["refuse", "Refuse the file"],
  ["ignore", "Leave them out"],
  ["add_columns", "Add them to the table"],
  ["rescue", "Keep them in a JSON column"],
];
const OUTCOMES = ["inserted", "updated", "unchanged", "skipped", "deleted"];

const pathOf = (name, connection) =>
  api.query(`/api/v1/tables/${encodeURIComponent(name)}`, { connection });
const hashOf = (name, connection) =>
  api.query(`#/tables/${encodeURIComponent(name)}`, { connection });

export default function tables({ id, params }) {
  const connection = params.get("connection") ?? "";
  return id ? oneTable(id, connection) : allTables(connection);
}

/** A table of texts or nodes with a caption for screen readers. */
function grid(caption, heads, rows) {
  return h(
    "div.scroll",
    { tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption.hidden", {}, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((head) => h("th", { scope: "col" }, head)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h(
            "tr",
            {},
            cells.map((cell) => h("td", {}, cell ?? h("span.muted", {}, "NULL"))),
          ),
        ),
      ),
    ),
  );
}

const refusal = (error, again) =>
  empty(error.title, `${error.message} ${error.remedy}`, again && button("Try again", again));

// ------------------------------------------------------------------------- the list

function allTables(connection) {
  const place = h("div", {}, spinner());
  const databases = h("div");
  const create = loadForm({ isNew: true, connection });

  const load = api.latest(
    () =>
      Promise.all([
        api.get(api.query("/api/v1/tables", { connection, limit: 500 })),
        api.get("/api/v1/connections"),
      ]),
    ([page, { items }]) => {
      replace(databases, items.length > 1 && databaseChoice(items, connection));
      replace(place, page.items.length ? list(page) : noTables());
    },
    (error) => replace(place, refusal(error, load)),
  );

  function list({ items, total }) {
    return h(
      "section.card",
      {},
      grid(
        "Tables",
        ["Table", "Kind", "Rows"],
        items.map((table) => [
          h("a", { href: hashOf(table.name, connection) }, table.name),
          table.kind.replace("_", " "),
          table.estimated_rows === null ? "–" : `about ${count(table.estimated_rows)}`,
        ]),
      ),
      total > items.length && h("p.muted", {}, `The first ${items.length} of ${count(total)}.`),
    );
  }

  load();
  return {
    title: "Tables",
    node: h(
      "div.page",
      {},
      h("div.page-head", {}, h("h1", {}, "Tables"), databases),
      place,
      h("section.card", {}, h("h2", {}, "New table from a file"), create.node),
    ),
    dispose: create.dispose,
  };
}

const noTables = () =>
  empty(
    "No tables yet",
    "Load a file into a new table below: its types come from an analysis of the file.",
  );

function databaseChoice(items, connection) {
  const choice = select(
    items.map(({ name, kind, address }) => [
      name,
      name ? `${name} (${address ?? kind})` : `This service (${kind})`,
    ]),
    connection,
    {
      "aria-label": "Database",
      onchange: () => (location.hash = api.query("#/tables", { connection: choice.value })),
    },
  );
  return choice;
}

// ------------------------------------------------------------------------- one table

function oneTable(name, connection) {
  const place = h("div", {}, spinner());
  const form = loadForm({ isNew: false, name, connection });
  const load = api.latest(
    () => api.get(pathOf(name, connection)),
    (table) => {
      form.show(table);
      replace(place, description(table));
    },
    (error) => replace(place, refusal(error, load)),
  );
  load();
  return {
    title: name,
    node: h(
      "div.page",
      {},
      h("a.back", { href: api.query("#/tables", { connection }) }, icon("back"), "All tables"),
      h("div.page-head", {}, h("h1.clip", {}, name)),
      h("section.card", {}, h("h2", {}, "Load a file"), form.node),
      place,
    ),
    dispose: form.dispose,
  };
}

function description(table) {
  const rows =
    table.rows === null ? "–" : `${table.rows_are_exact ? "" : "about "}${count(table.rows)}`;
  return h(
    "div",
    {},
    h(
      "section.card",
      {},
      h("h2", {}, "Columns"),
      facts([
        ["Rows", rows],
        ["Primary key", table.primary_key.join(", ") || "none"],
        table.triggers.length ? ["Triggers", table.triggers.join(", ")] : null,
        table.has_row_security ? ["Row security", "on"] : null,
      ]),
      grid(
        "Columns",
        ["Column", "Type", "NULL", "Default"],
        table.columns.map((column) => [
          column.name,
          column.type,
          column.nullable ? "allowed" : "not allowed",
          column.generated?.replaceAll("_", " ") ?? column.default ?? "–",
        ]),
      ),
    ),
    table.constraints.length > 0 &&
      h(
        "section.card",
        {},
        h("h2", {}, "Constraints"),
        grid(
          "Constraints",
          ["Kind", "Columns", "Definition"],
          table.constraints.map((constraint) => [
            constraint.kind.replaceAll("_", " "),
            constraint.columns.join(", "),
            constraint.definition ?? constraint.references ?? "–",
          ]),
        ),
      ),
    h("section.card", {}, h("h2", {}, "Loads"), loads(table.loads)),
  );
}

function loads(items) {
  if (!items.length) return h("p.muted", {}, "Nothing was loaded by you yet.");
  return grid(
    "Loads",
    ["File", "Mode", "State", "Rows", "When"],
    items.map((load) => [
      h("a", { href: `#/jobs/${load.job_id}` }, load.filename),
      `${load.mode}${load.summary?.dry_run ? ", tried" : ""}`,
      badge(load.status),
      outcomes(load.summary) || "–",
      when(load.created_at),
    ]),
  );
}

/** "2 inserted, 1 updated"; zeros are left out. */
const outcomes = (summary) =>
  OUTCOMES.filter((outcome) => summary?.[outcome])
    .map((outcome) => `${count(summary[outcome])} ${outcome}`)
    .join(", ");

// ------------------------------------------------------------------------- loading

function loadForm({ isNew, name = "", connection }) {
  const file = select([["", "Loading …"]], "");
  const table = h("input", { required: isNew, placeholder: "prices", maxlength: 400 });
  const mode = select(MODES, "append");
  const key = h("input", { placeholder: isNew ? "none" : "the primary key" });
  const policy = select(POLICIES, "refuse");
  const most = h("input", { placeholder: "5%", maxlength: 20 });
  const mostField = field("Delete at most", most, "A number of rows, or a percentage.");
  const result = h("div", { role: "status" });
  const again = button("Try it", () => run(true), { disabled: true });
  const go = button("Load", null, { kind: "primary", type: "submit", disabled: true });
  let isOver = false;
  let timer = null;

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
      field("File", file, "Upload others on the Jobs page."),
      isNew && field("Name of the table", table),
      !isNew && field("Rows that are there", mode),
      field("Key", key, "Columns, separated by commas."),
      !isNew && field("Columns that the table lacks", policy),
      !isNew && mostField,
      h("div.form-end", {}, again, go),
    ),
    result,
  );

  api.get(api.query("/api/v1/jobs", { limit: 100, parts: false })).then(
    ({ items }) => {
      const files = new Map();
      for (const job of items)
        if (job.status !== "failed" && job.processor !== "load" && !files.has(job.file_id))
          files.set(job.file_id, `#${job.number} ${job.filename} · ${ago(job.created_at)}`);
      replace(
        file,
        files.size
          ? [...files].map(([id, label]) => h("option", { value: id }, label))
          : h("option", { value: "" }, "No files yet"),
      );
      again.disabled = go.disabled = !files.size;
    },
    (error) => replace(result, refusal(error)),
  );

  function options(isTried) {
    const columns = key.value
      .split(",")
      .map((column) => column.trim())
      .filter(Boolean);
    return {
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
    again.disabled = go.disabled = true;
    replace(result, spinner(isTried ? "Trying …" : "Loading …"));
    try {
      if (isNew) await ended((await start("analyze", {})).job_id);
      const { job_id } = await start("load", options(isTried));
      if (!isTried) {
        location.hash = `#/jobs/${job_id}`;
        return;
      }
      const status = await ended(job_id);
      if (status.error) replace(result, problem(status));
      else replace(result, tried(await api.get(`/api/v1/jobs/${job_id}/result`), status));
    } catch (error) {
      replace(result, refusal(error));
    } finally {
      again.disabled = go.disabled = false;
    }
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

  return {
    node,
    show(description) {
      if (description.primary_key.length) key.placeholder = description.primary_key.join(", ");
    },
    dispose() {
      isOver = true;
      clearTimeout(timer);
    },
  };
}

const problem = ({ error, job_id }) =>
  empty(
    "Nothing would be loaded",
    error.message,
    h("a.button", { href: `#/jobs/${job_id}/rejects` }, "Show the rejects"),
  );

/** What a dry run found. */
function tried({ result }, status) {
  const rejected = status.counts.rejected;
  const left = [
    result.defaulted.length && `not in the file: ${result.defaulted.join(", ")}`,
    result.ignored.length && `not loaded: ${result.ignored.join(", ")}`,
  ].filter(Boolean);
  return h(
    "div.tried",
    {},
    h(
      `p.${rejected ? "note" : "muted"}`,
      {},
      `This load would end with ${outcomes(result) || "no changes"}. `,
      rejected > 0 &&
        h(
          "a",
          { href: `#/jobs/${status.job_id}/rejects` },
          `${plural(rejected, "row")} would be rejected.`,
        ),
    ),
    result.statements.length > 0 && h("pre.code", {}, result.statements.join(";\n")),
    grid(
      "Columns of the load",
      ["Column", "Type", "From the file"],
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
  const title = `${kind[0].toUpperCase()}${kind.slice(1)}, for example`;
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
  h("a.button", { href: hashOf(table, connection) }, "Open table");

// ------------------------------------------------------------------------- undo

/** A button that shows what an undo of the job would do, and undoes it once confirmed. */
export function undoButton(status, onend) {
  const path = `/api/v1/undo/${status.job_id}`;

  async function undo(dialog, place) {
    replace(place, spinner("Undoing …"));
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
      { "aria-label": "Undo the load", onclose: () => dialog.remove() },
      h("h2", {}, `Undo the load of ${status.filename}?`),
      h(
        "p",
        {},
        `${plural(preview.removed, "row")} would be removed, ${count(preview.restored)} restored.`,
      ),
      preview.left > 0 &&
        h(
          "div",
          {},
          h("p.note", {}, `${plural(preview.left, "row")} would stay as they are:`),
          h(
            "ul",
            {},
            preview.left_rows.map(({ key, row_number, reason }) =>
              h("li", {}, `${key ?? `row ${row_number}`}: ${reason}`),
            ),
          ),
        ),
      place,
      h(
        "div.row",
        {},
        button("Undo", () => undo(dialog, place), { kind: "primary" }),
        button("Keep the load", () => dialog.close()),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  return button("Undo …", ask);
}
