// All results of a job in one table, however many they are: filtered, searched, sorted, and row by
// row.

import * as api from "../api.js";
import { parameters, setParameters } from "../address.js";
import { TYPE_NAMES, asRanges, asTabs, cellText, histogram, smallBars, typeOf } from "../cells.js";
import { announce, button, empty, h, icon, replace } from "../dom.js";
import { copy, rowDrawer } from "../drawer.js";
import {
  columnPanel,
  conditionBar,
  conditionText,
  packed,
  searchField,
  sortChoice,
  unpacked,
} from "../filters.js";
import { count, isFinal, missing, plural } from "../format.js";
import { t } from "../messages.js";
import { spinner } from "../parts.js";
import { DataTable } from "../table.js";
import { fail } from "../toast.js";

const MAX_COLUMNS = 300;
const SAMPLE = 100;
/** Limits of the service for one response. */
const NUMBERS_AT_ONCE = 10_000;
/** Matches that are listed before the person is asked. */
const LISTED_AT_ONCE = 100_000;
const FORMATS = {
  csv: "CSV",
  jsonl: "JSON Lines",
  parquet: "Parquet",
  arrow: "Arrow",
  xlsx: "Excel",
};

export default function results({ id, status: first }) {
  let status = first;
  let table = null;
  let total = 0;
  let names = [];
  let sample = null;
  let profile = null; // columns of the stored analysis by name
  let listed = null; // row numbers in the order shown; null for all in the order of the file
  let scan = { isOver: true };
  let view = fromAddress();
  let shownRow = null;
  let isGone = false;
  const selected = new Map(); // cells by row number
  let selectedFrom = null;
  const path = `/api/v1/results/${encodeURIComponent(id)}`;
  const rowsPath = `/api/v1/rows/${encodeURIComponent(id)}`;
  const place = h("div", {}, spinner());
  const note = h("p.muted", { role: "status" });
  const more = h("span");
  const links = h("div.row", { role: "group" });
  const toolbar = h("div.table-tools");
  const chosenBar = h("div.row.chosen-bar", { hidden: true });
  const drawer = rowDrawer(rowsPath, { onmove: step, onclose: closed });
  let tools = null;
  const node = h(
    "div.rejects.results",
    {},
    h(
      "section.card.full",
      {},
      toolbar,
      h("div.row.between", {}, h("div.row", {}, note, more), links),
      chosenBar,
      place,
      h(
        "p.muted.hint",
        {},
        t(
          "* From the first rows; an analysis of the file has the types of all rows. Arrow keys move through the cells. Enter opens the row, Space selects it, C copies the cell, F filters by it, S sorts by its column. Shift with ← or → makes a column narrower or wider.",
        ),
      ),
    ),
    drawer.node,
  );

  // ---------------------------------------------------------------- what is shown

  function fromAddress() {
    const asked = parameters();
    return {
      conditions: asked.getAll("where").map(unpacked).filter(Boolean),
      search: asked.get("search") ?? "",
      sort: asked.get("sort") ?? "",
      hidden: asked.getAll("hide"),
      pinned: asked.getAll("pin"),
      row: Number(asked.get("row")) || null,
    };
  }

  function toAddress(options) {
    setParameters(
      {
        where: view.conditions.map(packed),
        search: view.search,
        sort: view.sort,
        hide: view.hidden,
        pin: view.pinned,
        row: view.row,
      },
      options,
    );
  }

  const where = () => view.conditions.map(conditionText).join(" and ");
  const isFiltered = () => Boolean(view.conditions.length || view.search);
  const shownNames = () => {
    const shown = names.filter((name) => !view.hidden.includes(name));
    const [front, rest] = [[], []];
    for (const name of shown) (view.pinned.includes(name) ? front : rest).push(name);
    return [...front, ...rest];
  };

  /** Changes the view, and the address with it. */
  function change(changes, { rebuild = false } = {}) {
    view = { ...view, ...changes };
    toAddress();
    drawTools();
    offer();
    if (rebuild) build();
    else list();
  }

  function drawTools() {
    tools.conditions.show(view.conditions);
    tools.search.show(view.search);
    tools.sort.show(view.sort);
    tools.columns.show(view);
  }

  function makeTools() {
    tools = {
      conditions: conditionBar(names, (conditions) => change({ conditions })),
      search: searchField(t("Search all cells"), (search) => change({ search })),
      sort: sortChoice(names, (sort) => change({ sort }, { rebuild: true })),
      columns: columnPanel(names, (columns) => change(columns, { rebuild: true })),
    };
    const number = h("input", {
      type: "number",
      min: 1,
      required: true,
      placeholder: t("Row"),
      "aria-label": t("Go to row"),
    });
    replace(
      toolbar,
      h(
        "div.row",
        {},
        tools.search.input,
        tools.sort.node,
        h(
          "form.row.tight.go",
          {
            onsubmit: (event) => {
              event.preventDefault();
              goTo(Number(number.value)).catch(fail);
            },
          },
          number,
          button(t("Go"), null, { type: "submit" }),
        ),
      ),
      tools.conditions.chips,
      h(
        "details.column-panel",
        { open: innerWidth > 720 },
        h("summary", {}, t("Filter")),
        tools.conditions.form,
      ),
      tools.columns.node,
    );
    drawTools();
  }

  /** The service refuses the file of a running job, unless the rows so far are requested. */
  function offer() {
    const partial = isFinal(status.status) ? null : true;
    const shown = shownNames();
    const isCut = shown.length < names.length;
    const chosen = {
      where: where(),
      search: view.search,
      columns: isCut ? shown.map((name) => `"${name.replaceAll('"', '""')}"`).join(",") : null,
      rows: selected.size ? asRanges(selected.keys()) : null,
    };
    const label = selected.size
      ? t("Download the selected rows")
      : isFiltered() || isCut
        ? t("Download what is shown")
        : partial
          ? t("Download the results so far")
          : t("Download all results");
    links.ariaLabel = label;
    replace(
      links,
      (selected.size || isFiltered() || isCut || partial) &&
        h(
          "span.muted",
          {},
          selected.size ? t("Selected:") : isFiltered() || isCut ? t("As shown:") : t("So far:"),
        ),
      Object.entries(FORMATS).map(([format, text]) =>
        h(
          "a.button",
          { href: api.query(`${path}/download`, { format, partial, ...chosen }), download: true },
          icon("download"),
          text,
        ),
      ),
      h(
        "a.button",
        {
          href: api.query(`/api/v1/files/${encodeURIComponent(id)}/archive`, { partial }),
          download: true,
        },
        icon("download"),
        t("Everything (zip)"),
      ),
    );
  }

  // ---------------------------------------------------------------- the table

  const samplesOf = (name) => {
    const i = names.indexOf(name);
    return sample.map(({ data }) => cellText(data.row[i]));
  };

  /** The type and the distribution of a column: of all rows if the file was analysed. */
  function detailOf(name, texts, type) {
    const known = profile?.get(name);
    const label = known ? (known.subtype ?? known.type) : type;
    const source = known
      ? t("From the analysis of all rows")
      : t("From the first {count} rows", { count: count(sample.length) });
    const numbers = type === "number" ? texts.filter(Boolean).map(Number) : [];
    const shape = known ? known.histogram : numbers.length > 1 && histogram(numbers);
    return h(
      "span.head-detail",
      { title: source },
      h("span.muted", {}, TYPE_NAMES[label] ?? label, known ? "" : " *"),
      shape && smallBars(name, shape),
    );
  }

  function columnOf(name) {
    const place = names.indexOf(name);
    const texts = samplesOf(name);
    const type = typeOf(texts);
    const longest = Math.max(name.length, ...texts.slice(0, 20).map((text) => (text ?? "").length));
    const sort = { [name]: "ascending", [`-${name}`]: "descending" }[view.sort];
    return {
      label: name,
      width: Math.min(320, Math.max(96, 30 + 9 * longest)),
      numeric: type === "number",
      pinned: view.pinned.includes(name),
      sort,
      detail: detailOf(name, texts, type),
      text: (row) => cellText(row.data.row[place]),
    };
  }

  function build() {
    const shown = shownNames();
    const widest = Math.max(total, status.counts.loaded + status.counts.rejected);
    const number = {
      label: t("Row"),
      width: Math.max(64, 28 + 9 * count(widest).length),
      numeric: true,
      pinned: true,
      tone: () => "dim",
      text: (row) => count(row.row_number),
    };
    const hadFocus = table?.node.contains(document.activeElement);
    const { row, column } = table ?? { row: -1, column: 0 };
    table?.dispose();
    table = new DataTable({
      label: t("Results of {name}", { name: status.filename }),
      columns: [number, ...shown.map(columnOf)],
      storageKey: names.join(","),
      fetch: fetchRows,
      onactivate: activated,
      onhead: (column) => column && sortBy(shown[column - 1]),
      onkey: (event, row, column) => keyed(event, row, shown[column - 1], column),
      isSelected: (row) => selected.has(row.row_number),
    });
    replace(place, table.node);
    if (row >= 0) Object.assign(table, { row: 0, column: Math.min(column, shown.length) });
    if (hadFocus) table.node.focus();
    requestAnimationFrame(list);
  }

  async function fetchRows(offset, limit) {
    if (!listed) return (await api.rows(path, { offset, limit })).items;
    const numbers = listed.slice(offset, offset + limit);
    const asked = new Set(numbers);
    const known = new Map();
    while (asked.size) {
      const page = await api.get(api.query(rowsPath, { rows: asRanges(asked) }));
      for (const item of page.items) {
        known.set(item.row_number, item);
        asked.delete(item.row_number);
      }
      if (!page.items.length) break; // deleted since
    }
    return numbers.map((each) => known.get(each));
  }

  function sortBy(name) {
    const sort = view.sort === name ? `-${name}` : view.sort === `-${name}` ? "" : name;
    change({ sort }, { rebuild: true });
    announce(sort ? t("Sorted by {name}", { name }) : t("In the order of the file"));
  }

  // ---------------------------------------------------------------- filter and sort

  /** Lists the rows of the view: all of them, or those that the service finds. */
  async function list() {
    scan.isOver = true;
    scan.stop?.abort();
    const mine = { isOver: false, stop: new AbortController(), after: 0, scanned: 0 };
    scan = mine;
    replace(more);
    if (!isFiltered() && !view.sort) {
      listed = null;
      table.reload();
      table.setCount(total);
      return tell();
    }
    listed = [];
    table.reload();
    table.setCount(0);
    try {
      if (view.sort) await order(mine);
      else await search(mine);
    } catch (error) {
      if (error.name === "AbortError" || mine.isOver) return;
      replace(note, [error.title, error.message].filter(Boolean).join(": "));
    }
  }

  const asked = (rest) =>
    api.query(rowsPath, { where: where(), search: view.search, only: "numbers", ...rest });

  async function order(mine) {
    replace(note, t("Sorting {count} rows …", { count: count(total) }));
    const page = await api.get(asked({ sort: view.sort, limit: NUMBERS_AT_ONCE }), {
      signal: mine.stop.signal,
    });
    listed = page.numbers;
    table.grow(listed.length);
    replace(
      note,
      listed.length < page.matched
        ? t("The first {count} of {all} rows in this order.", {
            count: count(listed.length),
            all: count(page.matched),
          })
        : plural(listed.length, "row"),
    );
    shownEmpty();
  }

  async function search(mine) {
    const most = listed.length + LISTED_AT_ONCE;
    while (mine.after !== null) {
      const page = await api.get(asked({ after: mine.after, limit: NUMBERS_AT_ONCE }), {
        signal: mine.stop.signal,
      });
      for (const each of page.numbers) listed.push(each);
      mine.after = page.next_after;
      mine.scanned += page.scanned;
      table.grow(listed.length);
      const values = {
        count: count(listed.length),
        scanned: count(mine.scanned),
        all: count(page.total),
      };
      replace(
        note,
        mine.after === null
          ? t("{count} of {all} rows", values)
          : t("{count} rows found in {scanned} of {all} …", values),
      );
      if (listed.length >= most && mine.after !== null) {
        replace(
          more,
          button(t("Find more"), () => (replace(more), search(mine).catch(fail))),
        );
        return;
      }
    }
    shownEmpty();
  }

  function shownEmpty() {
    if (!listed.length) announce(t("No row matches."));
  }

  function tell() {
    const soFar = isFinal(status.status) ? "" : t(" so far");
    const lost = isFinal(status.status) && missing(status);
    const cut =
      sample && sample.columnCount > MAX_COLUMNS
        ? t("; the first {count} of {all} columns", {
            count: MAX_COLUMNS,
            all: count(sample.columnCount),
          })
        : "";
    replace(note, `${plural(total, "row")}${soFar}${lost ? `. ${lost}` : ""}${cut}`);
  }

  // ---------------------------------------------------------------- rows

  function activated(row, column, isKeyed, event) {
    if (event?.shiftKey && selectedFrom !== null) return selectTo(table.row);
    if (column === 0) return toggle(row);
    if (isKeyed) open(row.row_number);
    else if (shownRow !== null) open(row.row_number); // the drawer follows
  }

  function keyed(event, row, name, column) {
    if (!row || event.altKey || event.metaKey) return false;
    if (event.key === " ") return (toggle(row), true);
    const key = event.key.toLowerCase();
    if (event.shiftKey) return false;
    if (key === "c") {
      if (event.ctrlKey && selected.size) copySelection();
      else copy(table.columns[column].text(row) ?? "", t("Cell copied"));
      return true;
    }
    if (event.ctrlKey || !name) return false;
    if (key === "s") return (sortBy(name), true);
    if (key === "f") return (tools.conditions.offer(name, table.columns[column].text(row)), true);
    return false;
  }

  function open(number) {
    shownRow = number;
    node.classList.add("chosen");
    view.row = number;
    toAddress({ isStep: false });
    drawer.show(number).then(() => drawer.node.focus({ preventScroll: true }));
  }

  function closed() {
    shownRow = null;
    view.row = null;
    toAddress({ isStep: false });
    node.classList.remove("chosen");
    table?.node.focus();
  }

  function step(by) {
    const next = Math.max(0, Math.min(table.rows.count - 1, table.row + by));
    table.go(next);
    const row = table.at(next);
    if (row) open(row.row_number);
  }

  /** Returns the position of a row among all results. Numbers of rejects are missing among them. */
  async function positionOf(number) {
    let [low, high] = [0, Math.min(total, number) - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const { items } = await api.get(api.query(path, { offset: middle, limit: 1 }));
      if (items.length && items[0].row_number <= number) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async function goTo(number) {
    if (!number || !table) return;
    const position = listed ? listed.indexOf(number) : await positionOf(number);
    if (position >= 0) table.go(position);
    open(number);
  }

  function toggle(row) {
    if (selected.has(row.row_number)) selected.delete(row.row_number);
    else selected.set(row.row_number, row);
    selectedFrom = table.row;
    drawSelection();
  }

  /** Selects the loaded rows between the last one and this. */
  function selectTo(position) {
    const [from, to] = [Math.min(selectedFrom, position), Math.max(selectedFrom, position)];
    for (const [at, row] of table.loaded())
      if (row && at >= from && at <= to) selected.set(row.row_number, row);
    drawSelection();
  }

  function copySelection() {
    const shown = shownNames();
    const places = shown.map((name) => names.indexOf(name));
    const rows = [...selected.values()].sort((a, b) => a.row_number - b.row_number);
    const cells = rows.map(({ data }) => places.map((place) => cellText(data.row[place])));
    copy(asTabs([shown, ...cells]), t("{count} copied", { count: plural(rows.length, "row") }));
  }

  function drawSelection() {
    chosenBar.hidden = !selected.size;
    replace(
      chosenBar,
      h("b", { role: "status" }, t("{rows} selected", { rows: plural(selected.size, "row") })),
      button(t("Copy"), copySelection),
      button(t("Clear"), () => {
        selected.clear();
        drawSelection();
        table.node.focus();
      }),
    );
    table.rows.render();
    offer();
  }

  // ---------------------------------------------------------------- loading

  /** Explains an empty list by the counts. */
  function nothing() {
    const { loaded, rejected } = status.counts;
    if (loaded)
      return status.parent_id
        ? t("These rows are in the results of the corrected job.")
        : t("This job stores no rows.");
    return [
      t("No row was loaded."),
      rejected &&
        plural(
          rejected,
          "row was rejected: the rejects say why, row by row.",
          "rows were rejected: the rejects say why, row by row.",
        ),
      missing(status),
    ]
      .filter(Boolean)
      .join(" ");
  }

  /** Reads the newest analysis of the file, if there is one. */
  async function readProfile() {
    const { items } = await api.get(
      api.query("/api/v1/jobs", { processor: "profile", status: "completed", limit: 200 }),
    );
    const analysis = items.find((each) => each.file_id === status.file_id);
    if (!analysis) return;
    const { result } = await api.get(`/api/v1/jobs/${analysis.job_id}/result`);
    profile = new Map(result.columns.map((column) => [column.name, column]));
    if (table && !isGone) build();
  }

  async function load() {
    try {
      const page = await api.get(api.query(path, { limit: SAMPLE }));
      total = page.total;
      if (!total) {
        tell();
        replace(
          place,
          isFinal(status.status)
            ? empty(t("No results"), nothing())
            : empty(t("Nothing here yet"), t("Rows appear once the first chunk is done.")),
        );
        return;
      }
      if (!table) {
        names = page.columns.slice(0, MAX_COLUMNS);
        sample = Object.assign(page.items, { columnCount: page.columns.length });
        makeTools();
        offer();
        build();
        readProfile().catch(() => {}); // the types are those of the first rows then
        if (view.row) goTo(view.row).catch(fail);
      } else if (!listed) {
        table.grow(total);
        tell();
      }
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
    dispose() {
      isGone = true;
      scan.isOver = true;
      scan.stop?.abort();
      tools?.search.stop();
      table?.dispose();
    },
  };
}
