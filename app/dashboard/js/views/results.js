// All results of a job in one table, however many they are.

import * as api from "../api.js";
import { empty, h, icon, replace } from "../dom.js";
import { count, isFinal, missing, plural } from "../format.js";
import { spinner } from "../parts.js";
import { DataTable } from "../table.js";

const MAX_COLUMNS = 300;

export function cellText(value) {
  if (value === null || value === undefined) return null;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export default function results({ id, status: first }) {
  let status = first;
  let table = null;
  let total = 0;
  const path = `/api/v1/results/${encodeURIComponent(id)}`;
  const place = h("div", {}, spinner());
  const note = h("p.muted", { role: "status" });
  const links = h("div.row", { role: "group" });
  const node = h(
    "section.card.full",
    {},
    h("div.row.between", {}, note, links),
    place,
    h(
      "p.muted.hint",
      {},
      "Arrow keys move through the cells; Shift with ← or → makes a column narrower or wider.",
    ),
  );

  /** The service refuses the file of a running job, unless the rows so far are requested. */
  function offer() {
    const partial = isFinal(status.status) ? null : true;
    links.ariaLabel = partial ? "Download the results so far" : "Download all results";
    replace(
      links,
      partial && h("span.muted", {}, "So far:"),
      ["csv", "jsonl", "parquet", "arrow", "xlsx"].map((format) =>
        h(
          "a.button",
          { href: api.query(`${path}/download`, { format, partial }), download: true },
          icon("download"),
          { csv: "CSV", jsonl: "JSON Lines", parquet: "Parquet", arrow: "Arrow", xlsx: "Excel" }[
            format
          ],
        ),
      ),
      h(
        "a.button",
        {
          href: api.query(`/api/v1/files/${encodeURIComponent(id)}/archive`, { partial }),
          download: true,
        },
        icon("download"),
        "Everything (zip)",
      ),
    );
  }

  function build(page) {
    const names = page.columns.slice(0, MAX_COLUMNS);
    const isNumber = names.map(
      (_, i) =>
        page.items.length > 0 &&
        page.items.every(({ data }) => data.row[i] === null || /^-?[\d.,]+$/.test(data.row[i])),
    );
    const columns = [
      {
        label: "Row",
        width: 84,
        numeric: true,
        tone: () => "dim",
        text: (row) => count(row.row_number),
      },
      ...names.map((name, i) => ({
        label: name,
        width: Math.min(
          320,
          Math.max(
            96,
            30 +
              9 *
                Math.max(
                  name.length,
                  ...page.items
                    .slice(0, 20)
                    .map(({ data }) => (cellText(data.row[i]) ?? "").length),
                ),
          ),
        ),
        numeric: isNumber[i],
        text: (row) => cellText(row.data.row[i]),
      })),
    ];
    table = new DataTable({
      label: `Results of ${status.filename}`,
      columns,
      storageKey: names.join(","),
      fetch: async (offset, limit) => (await api.rows(path, { offset, limit })).items,
    });
    replace(place, table.node);
    requestAnimationFrame(() => table.setCount(total));
  }

  /** Explains an empty list by the counts. */
  function nothing() {
    const { loaded, rejected } = status.counts;
    if (loaded)
      return status.parent_id
        ? "These rows are in the results of the corrected job."
        : "This job stores no rows.";
    return [
      "No row was loaded.",
      rejected &&
        `${plural(rejected, "row was", "rows were")} rejected: the rejects say why, row by row.`,
      missing(status),
    ]
      .filter(Boolean)
      .join(" ");
  }

  async function load() {
    try {
      const page = await api.get(api.query(path, { limit: 30 }));
      total = page.total;
      const soFar = page.complete ? "" : " so far";
      const lost = isFinal(status.status) && missing(status);
      const shown =
        page.columns.length > MAX_COLUMNS
          ? `; the first ${MAX_COLUMNS} of ${count(page.columns.length)} columns`
          : "";
      replace(note, `${plural(total, "row")}${soFar}${lost ? `. ${lost}` : ""}${shown}`);
      if (!total) {
        replace(
          place,
          isFinal(status.status)
            ? empty("No results", nothing())
            : empty("Nothing here yet", "Rows appear once the first chunk is done."),
        );
      } else if (!table) build(page);
      else table.setCount(total);
    } catch (error) {
      replace(place, empty(error.title, `${error.message} ${error.remedy}`));
    }
  }

  offer();
  load();
  return {
    node,
    update(fresh) {
      const grew =
        fresh.counts.loaded !== status.counts.loaded ||
        missing(fresh) !== missing(status) ||
        fresh.status !== status.status;
      const ended = isFinal(fresh.status) !== isFinal(status.status);
      status = fresh;
      if (ended) offer();
      if (grew) load();
    },
    dispose: () => table?.dispose(),
  };
}
