// The rejected rows: each with its reason and the invalid cell.

import { parameters, setParameters } from "../address.js";
import * as api from "../api.js";
import { bulkFix } from "../bulk_fix.js";
import { visible } from "../cells.js";
import { announce, button, empty, h, icon, replace, say, select } from "../dom.js";
import { bytes, canRetry, count, isFinal, missing, plural, standing, when } from "../format.js";
import { offerEarlier } from "../earlier_fixes.js";
import { searchField } from "../filters.js";
import { t } from "../messages.js";
import { badge, facts, spinner } from "../parts.js";
import { reasonName } from "../reasons.js";
import {
  cellAt,
  decide,
  decisions,
  extraCells,
  isChanged,
  newEdit,
  ownCells,
  patchOf,
  refusal,
} from "../reject_cells.js";
import { isShape } from "../shapes.js";
import { DataTable } from "../table.js";
import { fail, toast } from "../toast.js";

const MAX_AT_ONCE = 1000; // limit of the service for one correction by cells
const beside = matchMedia("(min-width: 1100px)");
const SAMPLE = 50;
/** Number of columns of the table before the cells. */
const FIRST_CELL = 2;
const LOST = "\ufffd";

/** Why a row was rejected, in one text. */
const reasonText = ({ code, message }) => `${reasonName(code)}: ${message}`;

/** The row as in the file. Unreadable bytes are the replacement character. */
const textOf = (reject) => reject.raw ?? reject.text ?? "";

export default function rejects({ id, status: first, correctable, refresh, again }) {
  let status = first;
  let table = null;
  let total = 0;
  let code = parameters().get("code") ?? "";
  let column = parameters().get("column") ?? "";
  let text = parameters().get("search") ?? "";
  let causes = [];
  let sample = [];
  let shownRow = null;
  let stop = () => {};
  let isGone = false;
  let cursors = new Map([[0, 0]]);
  /** Unsent edits by row number: those of reject_cells.js, or {reject, record}. */
  const edits = new Map();
  const path = `/api/v1/rejects/${encodeURIComponent(id)}`;
  const header = status.dialect.columns ?? [];
  const isCsv = ["csv", "fixed"].includes(status.format) && header.length > 0;
  const place = h("div", {}, spinner());
  const note = h("p.muted", { role: "status" });
  const codes = select([["", t("Every reason")]], "", { "aria-label": t("Reason") });
  const columns = select([["", t("Every column")]], "", { "aria-label": t("Column") });
  const search = searchField(t("Search the rejects"), (written) => {
    text = written;
    choose();
  });
  search.show(text);
  const bulk = h("span");
  const detail = h("section.card.full.reject-detail", {
    hidden: true,
    "aria-label": t("Selected row"),
  });
  codes.addEventListener("change", () => {
    code = codes.value;
    choose();
  });
  columns.addEventListener("change", () => {
    column = columns.value;
    choose();
  });
  /** Shows the rejects that the filters choose. */
  function choose() {
    setParameters({ code, column, search: text });
    table?.dispose();
    table = null;
    load();
  }
  function showAll() {
    code = column = text = "";
    search.show(text);
    choose();
  }
  const chosen = () => ({ code, column, search: text, cells: true });
  const corrected = h("input.hidden", {
    type: "file",
    tabindex: -1,
    "aria-label": t("Corrected file"),
    onchange: () => corrected.files[0] && send(corrected.files[0]),
  });
  const fix = button(t("Upload the corrected file"), () => corrected.click(), {
    iconName: "upload",
    hidden: true,
  });
  const file = h("a.button", { download: true });
  const workbook = h("a.button", { download: true, "aria-label": t("Rejected rows for Excel") });
  const outcome = h("p.correction", { role: "status", hidden: true });
  const lost = h("p.lost", { hidden: true });
  const offers = h("div.row.offers", { hidden: true });
  const earlier = h("ul.plain");
  const history = h(
    "details.card.full.reject-detail",
    { hidden: true },
    h("summary", {}, t("Corrections")),
    earlier,
  );
  const node = h(
    "div.rejects",
    {},
    h(
      "section.card.full",
      {},
      h(
        "div.row.between",
        {},
        h("div.row.reject-filters", {}, codes, columns, search.input, note, bulk),
        h("div.row", {}, fix, corrected, file, workbook),
      ),
      outcome,
      lost,
      offers,
      place,
    ),
    detail,
    history,
  );

  /** The cells of a reject as the service reads them; one for JSON. */
  const cellsOf = (reject) => (isCsv ? reject.cells : [textOf(reject)]);
  /** Whether the cell at this position is invalid: the named one, or one that is a guess. */
  const isOffending = (reject, index) =>
    isCsv &&
    (header[index] === reject.column ||
      index >= header.length ||
      reject.uncertain.includes(header[index]));
  const canEdit = () => correctable && isFinal(status.status);
  function offer() {
    fix.hidden = !(canEdit() && total);
    // The service refuses the file of a running job, unless the rows so far are requested.
    const partial = isFinal(status.status) ? null : true;
    file.href = api.query(`${path}/download`, { partial });
    workbook.href = api.query(`${path}/download`, { format: "xlsx", partial });
    replace(workbook, icon("download"), "Excel");
    replace(
      file,
      icon("download"),
      partial ? t("Rejected rows so far as CSV") : t("Rejected rows as CSV"),
    );
  }

  function turnDetail(isShown) {
    detail.hidden = !isShown;
    node.classList.toggle("chosen", isShown);
  }

  function show(reject, cell = null) {
    shownRow = reject;
    const cells = cellsOf(reject);
    turnDetail(true);
    replace(
      detail,
      h(
        "h2",
        {},
        t("Row {number}, {place}", {
          number: count(reject.row_number),
          place: reject.place ?? t("line {line}", { line: count(reject.line) }),
        }),
      ),
      h("p", {}, h("b", {}, reasonName(reject.code)), " ", h("code.muted", {}, reject.code)),
      h("p", {}, reject.message),
      canEdit() && isCsv && bulkButton(reject.code, reject.column),
      canEdit()
        ? editor(reject)
        : isCsv &&
            h(
              "ol.cells",
              {},
              cells.map((text, i) =>
                h(
                  `li${isOffending(reject, i) ? ".offending" : ""}`,
                  {},
                  h("span.muted", {}, header[i] ?? t("More cells than columns")),
                  h("code", {}, text === "" ? t("(empty)") : visible(text)),
                ),
              ),
            ),
      h(
        "p.muted",
        {},
        reject.raw === null
          ? t("In the file; � marks bytes that cannot be read:")
          : t("In the file:"),
      ),
      h("pre", { tabindex: 0, "aria-label": t("The row in the file") }, textOf(reject)),
      facts([
        reject.column && [t("Column"), reject.column],
        reject.value && [t("Value"), h("code", {}, reject.value)],
        [
          t("Bytes"),
          t("{start} to {end} ({size})", {
            start: count(reject.byte_start),
            end: count(reject.byte_end),
            size: bytes(reject.byte_end - reject.byte_start),
          }),
        ],
      ]),
    );
    if (cell !== null) {
      const inputs = [...detail.querySelectorAll(".cells input, .cells textarea, .record")];
      (inputs[cell] ?? inputs.find((input) => input.ariaInvalid === "true") ?? inputs[0])?.focus();
      // if it is below the table
    } else if (!beside.matches) detail.scrollIntoView({ block: "nearest" });
  }

  // ------------------------------------------------------------------ correcting rows

  /** A form with the cells of a row. Edits are kept while other rows are shown. */
  function editor(reject) {
    const number = reject.row_number;
    const press = button("", null, { kind: "primary", type: "submit" });
    const drop = button(
      t("Discard the changes"),
      () => (edits.delete(number), table?.rows.render(), show(reject)),
      { kind: "quiet" },
    );
    const tell = () => {
      const others = edits.size - Number(edits.has(number));
      press.textContent = others
        ? t("Correct {rows} and run again", { rows: plural(others + 1, "row") })
        : t("Correct and run again");
      drop.hidden = !edits.has(number);
      press.disabled = others >= MAX_AT_ONCE;
    };
    const control = (value, before, label, isBad, keep) => {
      // An input would drop the line ends of a cell.
      const input = h(value.includes("\n") || !isCsv ? "textarea" : "input", {
        "aria-label": label,
        "aria-invalid": isBad && "true",
        spellcheck: "false",
      });
      input.value = value;
      input.addEventListener("input", () => {
        keep(input.value, input.value !== before);
        table?.rows.render();
        tell();
      });
      return input;
    };
    /** Keeps the edit while it has changes. */
    const kept = (edit) => {
      if (isChanged(edit)) edits.set(number, edit);
      else edits.delete(number);
      drawDecisions();
    };
    const current = () => edits.get(number) ?? newEdit(reject);
    const decisionRow = h("div.row");
    const target = select(
      header.map((name, i) => [i, name]),
      header.length - 1,
      { "aria-label": t("Column of the extra cells") },
    );
    const drawDecisions = () => {
      if (!isCsv) return;
      const open = decisions(current(), header);
      decisionRow.hidden = !open.length;
      replace(
        decisionRow,
        open.map(({ kind, label }) =>
          h(
            "span.decision",
            {},
            button(label, () => settle(kind)),
            kind === "join" && target,
          ),
        ),
      );
    };
    const settle = (kind) => {
      const edit = current();
      const place = Number(target.value);
      decide(edit, header, kind, { place, delimiter: status.dialect.delimiter ?? "" });
      edits.set(number, edit);
      table?.rows.render();
      show(reject);
      detail.querySelector('[type="submit"]')?.focus();
    };
    const box = (label, isBad, input) =>
      h(
        `li${isBad ? ".offending" : ""}`,
        {},
        h("span.muted", { "aria-hidden": "true" }, label),
        input,
      );
    let fields;
    if (isCsv) {
      const before = ownCells(reject, header);
      const edit = current();
      fields = h(
        "ol.cells",
        {},
        header.map((name, i) =>
          box(
            name,
            isOffending(reject, i),
            control(
              cellAt(edit, header, i),
              before[i],
              t("{name}, corrected", { name }),
              isOffending(reject, i),
              (text, differs) => {
                const changed = current();
                if (differs) changed.values.set(name, text);
                else changed.values.delete(name);
                kept(changed);
              },
            ),
          ),
        ),
        extraCells(edit, header).map((value, i) => {
          const name = t("Cell {number}, without a column", { number: header.length + i + 1 });
          return box(
            name,
            value !== "",
            control(value, value, name, value !== "", (text) => {
              const changed = current();
              changed.extra = extraCells(changed, header).with(i, text);
              kept(changed);
            }),
          );
        }),
      );
      drawDecisions();
    } else {
      const before = textOf(reject);
      fields = control(
        edits.get(number)?.record ?? before,
        before,
        t("Corrected record"),
        true,
        (text, differs) =>
          differs ? edits.set(number, { reject, record: text }) : edits.delete(number),
      );
      fields.classList.add("record");
    }
    tell();
    return h(
      "form.editing",
      {
        onsubmit: (event) => {
          event.preventDefault();
          const all = new Map(edits);
          if (!all.has(number))
            all.set(number, isCsv ? newEdit(reject) : { reject, record: textOf(reject) });
          const open = [...all.values()].find((edit) => refusal(edit, header));
          if (open) {
            toast(t("A row is not decided yet"), { detail: refusal(open, header) });
            if (open.reject !== reject) show(open.reject, 0);
            return;
          }
          const rows = [...all.values()].map((edit) => patchOf(edit, header));
          const isLost = ({ record = "", values = {} }) =>
            [record, ...Object.values(values)].some((cell) => cell.includes(LOST));
          if (rows.some(isLost)) {
            toast(t("A corrected cell has a character that cannot be read"), {
              detail: t("Replace each � by the character that belongs there."),
            });
            return;
          }
          send({ rows });
        },
        onkeydown: (event) => {
          if (event.key === "Escape") table?.node.focus();
          else if (event.key === "Enter" && event.ctrlKey) event.currentTarget.requestSubmit();
        },
      },
      fields,
      decisionRow,
      h("div.row", {}, press, drop),
    );
  }

  /** Sends a corrected file or corrected cells: only these rows run again. */
  async function send(what) {
    const target = `/api/v1/files/${encodeURIComponent(id)}/corrections`;
    try {
      const isFile = what instanceof File;
      const made = await (isFile
        ? api.request("POST", target, { body: what, headers: { "Content-Type": "text/csv" } })
        : api.post(target, what));
      if (!isFile) what.rows.forEach((row) => edits.delete(row._row));
      const last = isFile ? null : shownRow;
      turnDetail(false);
      shownRow = null;
      table?.node.focus();
      follow(made.job_id, made.unchanged);
      if (last) openNext(last).catch(fail);
    } catch (error) {
      fail(error);
    } finally {
      corrected.value = "";
    }
  }

  /** Opens the reject behind this one, to be corrected next. */
  async function openNext(last) {
    const after = last.row_number;
    const { items } = await api.get(api.query(path, { limit: 1, after, ...chosen() }));
    if (!items.length || isGone) return;
    show(items[0], 0);
    announce(t("Row {number}", { number: count(items[0].row_number) }));
  }

  /** Follows a correction to its end, which changes the job, its counts and its proof. */
  function follow(jobId, unchanged = 0) {
    stop();
    outcome.hidden = false;
    stop = api.live(`/api/v1/status/${encodeURIComponent(jobId)}/events`, {
      status: async (fix) => {
        const { loaded, rejected, failed } = fix.counts;
        if (!isFinal(fix.status))
          return say(
            outcome,
            t("Corrected rows run again: {percent} %", { percent: fix.progress_percent }),
          );
        stop();
        say(
          outcome,
          fix.status === "cancelled"
            ? t("The correction was cancelled.")
            : [
                loaded
                  ? plural(
                      loaded,
                      "corrected row is a result now.",
                      "corrected rows are results now.",
                    )
                  : "",
                rejected
                  ? plural(rejected, "row is still rejected.", "rows are still rejected.")
                  : "",
                failed ? t("{rows} failed.", { rows: plural(failed, "row") }) : "",
                unchanged
                  ? plural(
                      unchanged,
                      "row came back as it was and did not run.",
                      "rows came back as they were and did not run.",
                    )
                  : "",
                fix.error ? (fix.error.message ?? fix.error.code) : "",
              ]
                .filter(Boolean)
                .join(" "),
        );
        announce(outcome.textContent);
        outcome.className = `correction ${rejected || failed || fix.status === "failed" ? "warn" : "ok"}`;
        recall();
        await refresh().catch(fail);
      },
    });
  }

  /** Shows the corrections so far, and follows a running one. */
  async function recall() {
    const { items } = await api
      .get(api.query("/api/v1/jobs", { parent: id, limit: 50 }))
      .catch(() => ({ items: [] }));
    if (isGone) return;
    history.hidden = !items.length;
    replace(
      earlier,
      items.map((each) =>
        h(
          "li",
          {},
          badge(standing(each)),
          h(
            "a.clip",
            { href: `#/jobs/${each.job_id}` },
            [
              t("{count} corrected", { count: count(each.counts.loaded) }),
              t("{count} still rejected", { count: count(each.counts.rejected) }),
              each.counts.failed && t("{count} failed", { count: count(each.counts.failed) }),
            ]
              .filter(Boolean)
              .join(", "),
          ),
          h("span.muted", {}, when(each.created_at)),
        ),
      ),
    );
    const running = items.find((each) => !isFinal(each.status));
    if (running) follow(running.job_id);
  }

  /** Width of a column of texts, so that none of these is cut. */
  const widthOf = (texts) =>
    Math.min(480, 30 + 7.6 * Math.max(8, ...texts.map((each) => each.length)));
  const numberWidth = () => {
    const { loaded, rejected } = status.counts;
    return Math.max(64, 28 + 9 * count(loaded + rejected).length);
  };
  /** Whether some rejects may have cells beyond the header. */
  const hasMoreCells = () =>
    causes.some((each) => each.code === "column_count" && each.column === null) ||
    sample.some((row) => cellsOf(row).length > header.length);

  function build() {
    cursors = new Map([[0, 0]]);
    const shown = isCsv ? header.slice(0, 100) : ["record"];
    const columns = [
      {
        label: t("Row"),
        width: numberWidth(),
        numeric: true,
        tone: () => "dim",
        text: (row) => count(row.row_number),
      },
      {
        label: t("Reason"),
        width: widthOf(sample.map(reasonText)),
        text: reasonText,
      },
      ...shown.map((name, i) => ({
        label: name,
        width: isCsv ? 150 : 420,
        text: (row) => {
          const edit = edits.get(row.row_number);
          const written = isCsv ? edit?.values?.get(name) : edit?.record;
          return visible(written ?? cellsOf(row)[i] ?? null);
        },
        tone: (row) =>
          edits.get(row.row_number)?.values?.has(name) ||
          edits.get(row.row_number)?.record !== undefined
            ? "edited"
            : isOffending(row, i)
              ? "offending"
              : "",
      })),
      ...(isCsv && hasMoreCells()
        ? [
            {
              label: t("More cells than columns"),
              width: 200,
              text: (row) =>
                visible(
                  cellsOf(row)
                    .slice(header.length)
                    .join(status.dialect.delimiter ?? ""),
                ),
              tone: (row) => (cellsOf(row).length > header.length ? "offending" : ""),
            },
          ]
        : []),
      {
        label: t("Line"),
        width: numberWidth(),
        numeric: true,
        tone: () => "dim",
        text: (row) => count(row.line),
      },
    ];
    table = new DataTable({
      label: t("Rejected rows of {name}", { name: status.filename }),
      columns,
      storageKey: `rejects:${header.join(",")}`,
      onactivate: (row, column, isKeyed) => show(row, isKeyed ? column - FIRST_CELL : null),
      fetch: async (offset, limit) => {
        // By cursor if the previous page is known, which costs the same at any depth.
        const cursor = cursors.get(offset);
        const page = await api.rows(path, {
          limit,
          ...chosen(),
          ...(cursor === undefined ? { offset } : { after: cursor }),
        });
        if (page.next_after !== null) cursors.set(offset + limit, page.next_after);
        return page.items;
      },
    });
    replace(place, table.node);
    requestAnimationFrame(() => table?.setCount(total));
  }

  /** Explains an empty list by the counts. */
  function nothing() {
    if (code || column || text)
      return empty(
        t("No rejects"),
        t("No row is rejected for this reason any more."),
        button(t("Show all rejects"), showAll),
      );
    if (!isFinal(status.status))
      return empty(
        t("No rejects so far"),
        t("Rejected rows are listed here, each with its reason."),
      );
    if (missing(status))
      return empty(t("No rejects"), t("No row was rejected, but some were not loaded."));
    if (status.status === "failed")
      return empty(t("No rejects"), t("No row was rejected. See the summary for the failure."));
    return empty(
      t("No rejects"),
      status.counts.loaded ? t("Every row was loaded.") : t("There are no rows."),
    );
  }

  /** Offers the reasons and columns of the rejects, each with its number. */
  function drawFilters() {
    const sums = (name, isCounted) => {
      const counts = new Map();
      for (const each of causes.filter(isCounted))
        if (each[name] !== null) counts.set(each[name], (counts.get(each[name]) ?? 0) + each.count);
      return [...counts].sort((a, b) => b[1] - a[1]);
    };
    const options = (control, every, value, pairs, words) => {
      const names = pairs.map(([name]) => name);
      if (value && !names.includes(value)) pairs = [...pairs, [value, 0]];
      replace(
        control,
        h("option", { value: "" }, every),
        pairs.map(([name, number]) =>
          h("option", { value: name }, `${words(name)} (${count(number)})`),
        ),
      );
      control.value = value;
    };
    const byCode = sums("code", (each) => !column || each.column === column);
    const byColumn = sums("column", (each) => !code || each.code === code);
    options(codes, t("Every reason"), code, byCode, reasonName);
    options(columns, t("Every column"), column, byColumn, (name) => name);
    columns.hidden = !byColumn.length && !column;
    replace(bulk, code && canEdit() && isCsv && bulkButton(code, column));
  }

  /** Returns the cause of a code and column; one of shape is of all columns. */
  function causeOf(causeCode, causeColumn) {
    if (!isShape(causeCode))
      return causes.find((each) => each.code === causeCode && each.column === causeColumn);
    const some = causes.filter((each) => each.code === causeCode);
    const total = some.reduce((sum, each) => sum + each.count, 0);
    return { code: causeCode, column: null, count: total };
  }

  function bulkButton(fixedCode, fixedColumn) {
    const cause = causeOf(fixedCode, fixedColumn);
    if (!cause || cause.count < 2) return null;
    return button(t("Fix all {count} like this", { count: count(cause.count) }), () =>
      bulkFix({
        path,
        id,
        cause,
        header,
        dialect: { delimiter: status.dialect.delimiter ?? "", isFixed: status.format === "fixed" },
        follow: (made) => follow(made.job_id, made.unchanged),
      }),
    );
  }

  async function load() {
    const text = isFinal(status.status) ? missing(status) : "";
    lost.hidden = !text;
    replace(
      lost,
      h("span", {}, text),
      canRetry(status) && button(t("Retry"), again, { iconName: "retry" }),
    );
    try {
      const [page, { items }] = await Promise.all([
        api.get(api.query(path, { limit: SAMPLE, ...chosen() })),
        api.get(`${path}/causes`),
      ]);
      total = page.total;
      sample = page.items;
      causes = items;
      drawFilters();
      replace(note, `${plural(total, "rejected row")}${page.complete ? "" : t(" so far")}`);
      offer();
      if (canEdit() && items.length)
        offerEarlier({ id, place: offers, follow: (made) => follow(made.job_id) });
      else offers.hidden = true;
      if (!total) {
        table?.dispose();
        table = null;
        turnDetail(false);
        replace(place, nothing());
      } else if (!table) build();
      else table.setCount(total);
    } catch (error) {
      replace(place, empty(error.title, `${error.message} ${error.remedy}`));
    }
  }

  if (correctable) recall();
  offer();
  load();
  return {
    node,
    update(fresh) {
      const changed =
        fresh.counts.rejected !== status.counts.rejected ||
        missing(fresh) !== missing(status) ||
        fresh.status !== status.status;
      const couldEdit = canEdit();
      status = fresh;
      offer();
      if (shownRow && canEdit() !== couldEdit) show(shownRow);
      if (changed) {
        cursors = new Map([[0, 0]]); // rows are gone: all pages start elsewhere
        table?.reload();
        load();
      }
    },
    dispose() {
      isGone = true;
      search.stop();
      stop();
      table?.dispose();
    },
  };
}
