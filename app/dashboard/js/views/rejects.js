// The rejected rows: each with its reason and the invalid cell.

import * as api from "../api.js";
import { splitRecord } from "../csv.js";
import { announce, button, empty, h, icon, replace, say, select } from "../dom.js";
import { bytes, canRetry, count, isFinal, missing, plural, standing, when } from "../format.js";
import { badge, facts, spinner } from "../parts.js";
import { DataTable } from "../table.js";
import { fail } from "../toast.js";

const MAX_AT_ONCE = 1000; // limit of the service for one correction by cells
const beside = matchMedia("(min-width: 1100px)");
const LOST = "\ufffd";

/** Decodes the bytes, in the encoding of the file if they are not UTF-8. Unreadable bytes become
 *  the replacement character. */
function textOf(reject, encoding) {
  if (reject.raw !== null) return reject.raw;
  const bytes = Uint8Array.from(atob(reject.raw_base64 ?? ""), (char) => char.charCodeAt(0));
  try {
    return new TextDecoder((encoding ?? "utf-8").replace("latin-1", "latin1")).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}

export default function rejects({ id, status: first, correctable, refresh, again }) {
  let status = first;
  let table = null;
  let total = 0;
  let code = "";
  let shownRow = null;
  let stop = () => {};
  let isGone = false;
  let cursors = new Map([[0, 0]]);
  /** Unsent edits by row number: {reject, values: Map} or {reject, record}. */
  const edits = new Map();
  const path = `/api/v1/rejects/${encodeURIComponent(id)}`;
  const header = status.dialect.columns ?? [];
  const isFixed = status.format === "fixed";
  const isCsv = (status.format === "csv" || isFixed) && header.length > 0;
  const place = h("div", {}, spinner());
  const note = h("p.muted", { role: "status" });
  const codes = select([["", "Every reason"]], "", { "aria-label": "Reason" });
  const detail = h("section.card.full.reject-detail", {
    hidden: true,
    "aria-label": "Selected row",
  });
  codes.addEventListener("change", () => {
    code = codes.value;
    table?.dispose();
    table = null;
    load();
  });
  const corrected = h("input.hidden", {
    type: "file",
    tabindex: -1,
    "aria-label": "Corrected file",
    onchange: () => corrected.files[0] && send(corrected.files[0]),
  });
  const fix = button("Upload the corrected file", () => corrected.click(), {
    iconName: "upload",
    hidden: true,
  });
  const file = h("a.button", { download: true });
  const workbook = h("a.button", { download: true, "aria-label": "Rejected rows for Excel" });
  const outcome = h("p.correction", { role: "status", hidden: true });
  const lost = h("p.lost", { hidden: true });
  const earlier = h("ul.plain");
  const history = h(
    "details.card.full.reject-detail",
    { hidden: true },
    h("summary", {}, "Corrections"),
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
        h("div.row", {}, codes, note),
        h("div.row", {}, fix, corrected, file, workbook),
      ),
      outcome,
      lost,
      place,
    ),
    detail,
    history,
  );

  /** The cells of a reject in the order of the file's columns; one for JSON. */
  function cellsOf(reject) {
    reject.cells ??= cellsIn(reject);
    return reject.cells;
  }
  function cellsIn(reject) {
    if (!isCsv) return [textOf(reject)];
    const text = textOf(reject, status.dialect.encoding);
    if (!isFixed) return splitRecord(text, status.dialect);
    const characters = [...text];
    const starts = status.dialect.starts;
    return starts.map((start, i) =>
      characters
        .slice(i && start, starts[i + 1])
        .join("")
        .trim(),
    );
  }
  /** The correctable cells: those beyond the header are joined to the last one, as in the
   *  download. */
  function laidOut(reject) {
    const cells = cellsOf(reject);
    const most = header.length - 1;
    return header.map(
      (_, i) => (i === most ? cells.slice(most).join(status.dialect.delimiter) : cells[i]) ?? "",
    );
  }
  /** Whether the cell at this position is invalid: the named one, or those beyond (or missing
   *  from) the header. */
  function isOffending(reject, index) {
    if (reject.column !== null) return header[index] === reject.column;
    const cells = cellsOf(reject).length;
    return (
      isCsv &&
      cells !== header.length &&
      index >= Math.min(cells, header.length - (cells > header.length ? 1 : 0))
    );
  }
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
      partial ? "Rejected rows so far as CSV" : "Rejected rows as CSV",
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
        `Row ${count(reject.row_number)}, ${reject.place ?? `line ${count(reject.line)}`}`,
      ),
      h("p", {}, h("span.badge.bad", {}, reject.code), " ", reject.message),
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
                  h("span.muted", {}, header[i] ?? "beyond the header"),
                  h("code", {}, text === "" ? "(empty)" : text),
                ),
              ),
            ),
      h(
        "p.muted",
        {},
        `In the file${reject.raw === null ? "; � marks bytes that cannot be read" : ""}:`,
      ),
      h(
        "pre",
        { tabindex: 0, "aria-label": "The row in the file" },
        textOf(reject, status.dialect.encoding),
      ),
      facts([
        reject.column && ["Column", reject.column],
        reject.value && ["Value", h("code", {}, reject.value)],
        [
          "Bytes",
          `${count(reject.byte_start)} to ${count(reject.byte_end)} (${bytes(reject.byte_end - reject.byte_start)})`,
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
      "Discard the changes",
      () => (edits.delete(number), table?.rows.render(), show(reject)),
      { kind: "quiet" },
    );
    const tell = () => {
      const others = edits.size - Number(edits.has(number));
      press.textContent = others
        ? `Correct ${plural(others + 1, "row")} and run again`
        : "Correct and run again";
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
    let fields;
    if (isCsv) {
      const before = laidOut(reject);
      fields = h(
        "ol.cells",
        {},
        header.map((name, i) =>
          h(
            `li${isOffending(reject, i) ? ".offending" : ""}`,
            {},
            h("span.muted", { "aria-hidden": "true" }, name),
            control(
              edits.get(number)?.values.get(name) ?? before[i],
              before[i],
              `${name}, corrected`,
              isOffending(reject, i),
              (text, isChanged) => {
                const kept = edits.get(number) ?? { reject, values: new Map() };
                if (isChanged) kept.values.set(name, text);
                else kept.values.delete(name);
                if (kept.values.size) edits.set(number, kept);
                else edits.delete(number);
              },
            ),
          ),
        ),
      );
    } else {
      const before = textOf(reject);
      fields = control(
        edits.get(number)?.record ?? before,
        before,
        "Corrected record",
        true,
        (text, isChanged) =>
          isChanged ? edits.set(number, { reject, record: text }) : edits.delete(number),
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
            all.set(
              number,
              isCsv ? { reject, values: new Map() } : { reject, record: textOf(reject) },
            );
          send({ rows: [...all.values()].map(patchOf) });
        },
        onkeydown: (event) => {
          if (event.key === "Escape") table?.node.focus();
          else if (event.key === "Enter" && event.ctrlKey) event.currentTarget.requestSubmit();
        },
      },
      fields,
      h("div.row", {}, press, drop),
    );
  }

  function patchOf({ reject, values, record }) {
    if (record !== undefined) return { _row: reject.row_number, record };
    const seen = laidOut(reject);
    // A row without a single invalid cell was split here: all of it is sent, so that the shown
    // cells are what runs. A cell with unreadable characters is sent only if it was edited.
    const cells =
      reject.column === null
        ? header.map((name, i) => [name, seen[i]]).filter(([, text]) => !text.includes(LOST))
        : [];
    return { _row: reject.row_number, values: Object.fromEntries([...cells, ...values]) };
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
      turnDetail(false);
      shownRow = null;
      table?.node.focus();
      follow(made.job_id, made.unchanged);
    } catch (error) {
      fail(error);
    } finally {
      corrected.value = "";
    }
  }

  /** Follows a correction to its end, which changes the job, its counts and its proof. */
  function follow(jobId, unchanged = 0) {
    stop();
    outcome.hidden = false;
    stop = api.live(`/api/v1/status/${encodeURIComponent(jobId)}/events`, {
      status: async (fix) => {
        const { loaded, rejected, failed } = fix.counts;
        if (!isFinal(fix.status))
          return say(outcome, `Corrected rows run again: ${fix.progress_percent} %`);
        stop();
        say(
          outcome,
          fix.status === "cancelled"
            ? "The correction was cancelled."
            : [
                loaded
                  ? `${plural(loaded, "corrected row is a result now", "corrected rows are results now")}.`
                  : "",
                rejected ? `${plural(rejected, "row is", "rows are")} still rejected.` : "",
                failed ? `${plural(failed, "row")} failed.` : "",
                unchanged
                  ? `${plural(unchanged, "row came back as it was", "rows came back as they were")} and did not run.`
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
              `${count(each.counts.loaded)} corrected`,
              `${count(each.counts.rejected)} still rejected`,
              each.counts.failed && `${count(each.counts.failed)} failed`,
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

  function build() {
    cursors = new Map([[0, 0]]);
    const shown = isCsv ? header.slice(0, 100) : ["record"];
    const columns = [
      {
        label: "Row",
        width: 84,
        numeric: true,
        tone: () => "dim",
        text: (row) => count(row.row_number),
      },
      { label: "Reason", width: 230, text: (row) => row.message },
      ...shown.map((name, i) => ({
        label: name,
        width: isCsv ? 150 : 420,
        text: (row) => {
          const edit = edits.get(row.row_number);
          return (isCsv ? edit?.values.get(name) : edit?.record) ?? cellsOf(row)[i] ?? null;
        },
        tone: (row) =>
          edits.get(row.row_number)?.values?.has(name) ||
          edits.get(row.row_number)?.record !== undefined
            ? "edited"
            : isOffending(row, i)
              ? "offending"
              : "",
      })),
      ...(isCsv
        ? [
            {
              label: "beyond the header",
              width: 150,
              text: (row) => cellsOf(row).slice(header.length).join(status.dialect.delimiter),
              tone: (row) => (cellsOf(row).length > header.length ? "offending" : ""),
            },
          ]
        : []),
      {
        label: "Line",
        width: 84,
        numeric: true,
        tone: () => "dim",
        text: (row) => count(row.line),
      },
      { label: "Code", width: 170, tone: () => "dim", text: (row) => row.code },
    ];
    table = new DataTable({
      label: `Rejected rows of ${status.filename}`,
      columns,
      storageKey: `rejects:${header.join(",")}`,
      onactivate: (row, column, isKeyed) => show(row, isKeyed ? column - 2 : null),
      fetch: async (offset, limit) => {
        // By cursor if the previous page is known, which costs the same at any depth.
        const cursor = cursors.get(offset);
        const page = await api.rows(path, {
          limit,
          code,
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
    if (code) return empty("No rejects", "No row is rejected for this reason any more.");
    if (!isFinal(status.status))
      return empty("No rejects so far", "Rejected rows are listed here, each with its reason.");
    if (missing(status))
      return empty("No rejects", "No row was rejected, but some were not loaded.");
    if (status.status === "failed")
      return empty("No rejects", "No row was rejected. See the overview for the failure.");
    return empty(
      "No rejects",
      status.counts.loaded ? "Every row was loaded." : "There are no rows.",
    );
  }

  async function load() {
    const text = isFinal(status.status) ? missing(status) : "";
    lost.hidden = !text;
    replace(
      lost,
      h("span", {}, text),
      canRetry(status) && button("Retry", again, { iconName: "retry" }),
    );
    try {
      const page = await api.get(api.query(path, { limit: 1, code }));
      total = page.total;
      if (codes.options.length - 1 !== Object.keys(page.codes).length) {
        replace(
          codes,
          h("option", { value: "" }, "Every reason"),
          Object.entries(page.codes).map(([name, number]) =>
            h("option", { value: name, selected: name === code }, `${name} (${count(number)})`),
          ),
        );
      }
      replace(note, `${plural(total, "rejected row")}${page.complete ? "" : " so far"}`);
      offer();
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
      stop();
      table?.dispose();
    },
  };
}
