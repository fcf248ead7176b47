// The rows that did not get through: each with its reason, and the cell that is to blame.

import * as api from "../api.js";
import { splitRecord } from "../csv.js";
import { button, empty, h, icon, replace, select } from "../dom.js";
import { bytes, count, isFinal, plural } from "../format.js";
import { facts, spinner } from "../parts.js";
import { system } from "../main.js";
import { DataTable } from "../table.js";
import { fail, toast } from "../toast.js";

/** The bytes as text; what is not UTF-8 shows as the replacement character. */
function textOf(reject) {
  return reject.raw ?? new TextDecoder().decode(Uint8Array.from(atob(reject.raw_base64 ?? ""), (char) => char.charCodeAt(0)));
}

export default function rejects({ id, status: first, restart }) {
  let status = first;
  let table = null;
  let total = 0;
  let code = "";
  const path = `/api/v1/rejects/${encodeURIComponent(id)}`;
  const header = status.dialect.columns ?? [];
  const isCsv = status.format === "csv" && header.length > 0;
  const place = h("div", {}, spinner());
  const note = h("p.muted", { role: "status" });
  const codes = select([["", "Every reason"]], "", { "aria-label": "Reason" });
  const detail = h("section.card.full.reject-detail", { hidden: true, "aria-live": "polite", "aria-label": "The chosen row" });
  codes.addEventListener("change", () => {
    code = codes.value;
    table = null;
    load();
  });
  let canCorrect = false;
  const corrected = h("input.hidden", { type: "file", accept: ".csv", tabindex: -1, "aria-label": "Corrected file", onchange: () => corrected.files[0] && send(corrected.files[0]) });
  const fix = button("Upload the corrected file", () => corrected.click(), { iconName: "upload", hidden: true });
  system().then((about) => {
    canCorrect = about.features.corrections;
    fix.hidden = !canCorrect;
  }, () => {});
  const node = h("div", {},
    h("section.card.full", {}, h("div.row.between", {}, h("div.row", {}, codes, note), h("div.row", {}, fix, corrected, h("a.button", { href: `${path}/download`, download: true }, icon("download"), "Rejected rows as CSV"))), place),
    detail);

  /** The cells of a reject in the order of the file's columns; one for JSON. */
  function cellsOf(reject) {
    reject.cells ??= isCsv ? splitRecord(textOf(reject), status.dialect) : [textOf(reject)];
    return reject.cells;
  }
  /** Whether the cell at this place is to blame: the named one, or those beyond (or missing from) the header. */
  function isOffending(reject, index) {
    if (reject.column !== null) return header[index] === reject.column;
    const cells = cellsOf(reject).length;
    return isCsv && cells !== header.length && index >= Math.min(cells, header.length - (cells > header.length ? 1 : 0));
  }

  function show(reject) {
    const cells = cellsOf(reject);
    detail.hidden = false;
    replace(detail, h("h2", {}, `Row ${count(reject.row_number)}, line ${count(reject.line)}`),
      h("p", {}, h("span.badge.bad", {}, reject.code), " ", reject.message),
      isCsv && h("ol.cells", {}, cells.map((cell, i) =>
        h(`li${isOffending(reject, i) ? ".offending" : ""}`, {}, h("span.muted", {}, header[i] ?? "beyond the header"), h("code", {}, cell === "" ? "(empty)" : cell)))),
      canCorrect && isFinal(status.status) && editor(reject, cells),
      h("p.muted", {}, `As it stands in the file${reject.raw === null ? "; � marks bytes that are no UTF-8" : ""}:`),
      h("pre", { tabindex: 0, "aria-label": "The row as it stands in the file" }, textOf(reject)),
      facts([reject.column && ["Column", reject.column], reject.value && ["Value", h("code", {}, reject.value)], ["Bytes", `${count(reject.byte_start)} to ${count(reject.byte_end)} (${bytes(reject.byte_end - reject.byte_start)})`]]));
  }

  /** Cells to be written anew; those that changed go back, and the row alone is run again. */
  function editor(reject, cells) {
    if (!isCsv) {
      const record = h("input", { value: textOf(reject), "aria-label": "The record" });
      return h("form.editing", { onsubmit: (event) => (event.preventDefault(), send({ rows: [{ _row: reject.row_number, record: record.value }] })) }, record, h("div", {}, button("Correct and run again", null, { kind: "primary", type: "submit" })));
    }
    const inputs = header.map((name, i) => h("input", { value: cells[i] ?? "", "aria-label": `${name}, corrected` }));
    return h("form.editing", {
      onsubmit: (event) => {
        event.preventDefault();
        // A row with too many or too few cells is written anew as a whole; of another, what was changed.
        const isRagged = cells.length !== header.length;
        const changed = header.map((name, i) => [name, inputs[i].value, cells[i] ?? ""]).filter(([, now, before]) => isRagged || now !== before);
        send({ rows: [{ _row: reject.row_number, values: Object.fromEntries(changed.map(([name, now]) => [name, now])) }] });
      },
    }, h("h3", {}, "Correct it"), h("div.cells", {}, inputs.map((input, i) => h("label", {}, h("span.muted", {}, header[i]), input))), h("div", {}, button("Correct and run again", null, { kind: "primary", type: "submit" })));
  }

  /** A corrected file, or corrected cells. */
  async function send(what) {
    const target = `/api/v1/files/${status.file_id}/corrections`;
    try {
      if (what instanceof File) await api.request("POST", target, { body: what, headers: { "Content-Type": "text/csv" } });
      else await api.post(target, what);
      toast("Corrected rows run again", { detail: "Those that are right now move to the results." });
      detail.hidden = true;
      restart();
    } catch (error) {
      fail(error);
    } finally {
      corrected.value = "";
    }
  }

  function build() {
    const shown = isCsv ? header.slice(0, 100) : ["record"];
    const columns = [
      { label: "Row", width: 84, numeric: true, tone: () => "dim", text: (row) => count(row.row_number) },
      { label: "Line", width: 84, numeric: true, tone: () => "dim", text: (row) => count(row.line) },
      { label: "Reason", width: 300, text: (row) => row.message },
      ...shown.map((name, i) => ({
        label: name, width: isCsv ? 150 : 420,
        text: (row) => cellsOf(row)[i] ?? null,
        tone: (row) => (isOffending(row, i) ? "offending" : ""),
      })),
      ...(isCsv ? [{ label: "beyond the header", width: 150, text: (row) => cellsOf(row).slice(header.length).join(status.dialect.delimiter), tone: (row) => (cellsOf(row).length > header.length ? "offending" : "") }] : []),
      { label: "Code", width: 170, tone: () => "dim", text: (row) => row.code },
    ];
    let after = new Map([[0, 0]]);
    table = new DataTable({
      label: `Rejected rows of ${status.filename}`, columns, storageKey: `rejects:${header.join(",")}`, onactivate: show,
      fetch: async (offset, limit) => {
        // By cursor where the page before was seen, which costs the same at any depth.
        const cursor = after.get(offset);
        const page = await api.get(api.query(path, { limit, code, ...(cursor === undefined ? { offset } : { after: cursor }) }));
        if (page.next_after !== null) after.set(offset + limit, page.next_after);
        return page.items;
      },
    });
    replace(place, table.node);
    requestAnimationFrame(() => table?.setCount(total));
  }

  async function load() {
    try {
      const page = await api.get(api.query(path, { limit: 1, code }));
      total = page.total;
      if (codes.options.length - 1 !== Object.keys(page.codes).length) {
        replace(codes, h("option", { value: "" }, "Every reason"), Object.entries(page.codes).map(([name, number]) => h("option", { value: name, selected: name === code }, `${name} (${count(number)})`)));
      }
      replace(note, `${plural(total, "rejected row")}${page.complete ? "" : " so far"}`);
      if (!total) {
        detail.hidden = true;
        replace(place, isFinal(status.status) ? empty("No rejects", "Every row got through.") : empty("No rejects so far", "Rows that cannot be used will be listed here, each with its reason."));
      } else if (!table) build();
      else table.setCount(total);
    } catch (error) {
      replace(place, empty(error.title, `${error.message} ${error.remedy}`));
    }
  }

  load();
  return {
    node,
    update(fresh) {
      const changed = fresh.rows.invalid + fresh.rows.failed !== status.rows.invalid + status.rows.failed || fresh.status !== status.status;
      status = fresh;
      if (changed) {
        table?.reload();
        load();
      }
    },
    dispose: () => table?.dispose(),
  };
}
