// A grid over any number of rows. Visible blocks are fetched, arrow keys move the cell, and columns
// keep their chosen width.

import { announce, h, say, uid } from "./dom.js";
import { t } from "./messages.js";
import { VirtualRows } from "./virtual.js";

const BLOCK = 100;
const KEPT_BLOCKS = 80;
const MIN_WIDTH = 56;
const MAX_WIDTH = 1200;
const ARROWS = { ascending: " ↑", descending: " ↓" };

export class DataTable {
  /** `columns`: {label, width, numeric, text(row) -> string, tone(row) -> class, detail: node in
   *  the head, pinned: stays when the table moves sideways, sort: aria-sort}. `fetch(offset, limit)`
   *  -> rows. `onactivate(row, column, isKeyed, event)`: a click on a cell; Enter or a double click, which
   *  mean to work on it. `onhead(column)`: a click on a head. `onkey(event, row, column)`: returns
   *  whether it used the key. `isSelected(row)`: for tables whose rows can be selected. */
  constructor({
    label,
    columns,
    fetch,
    storageKey,
    onactivate = (_row, _column, _isKeyed, _event = null) => {},
    onhead = null,
    onkey = (_event, _row, _column) => false,
    isSelected = null,
    rowHeight = 34,
  }) {
    this.columns = columns;
    this.fetch = fetch;
    this.onactivate = onactivate;
    this.onhead = onhead;
    this.onkey = onkey;
    this.isSelected = isSelected;
    this.storageKey = `granula.widths.${storageKey}`;
    this.blocks = new Map();
    this.row = -1;
    this.column = 0;
    this.id = uid("grid");
    this.widths = this.#storedWidths();
    this.head = h(
      "div.grid-head",
      { role: "rowgroup" },
      h(
        "div.grid-row",
        { role: "row", "aria-rowindex": 1 },
        columns.map((column, index) => this.#headCell(column, index)),
      ),
    );
    this.node = h(
      "div.grid",
      {
        role: "grid",
        tabindex: 0,
        "aria-label": label,
        "aria-colcount": columns.length,
        "aria-multiselectable": isSelected && "true",
        onkeydown: (e) => this.#key(e),
        onclick: (e) => this.#click(e, false),
        ondblclick: (e) => this.#click(e, true),
      },
      this.head,
    );
    this.rows = new VirtualRows({
      scroller: this.node,
      role: "rowgroup",
      rowHeight: () => rowHeight,
      key: (i) => i,
      create: (i) => this.#create(i),
      patch: (node, i) => this.#patch(node, i),
    });
    this.node.append(this.rows.node);
    this.rows.onrange = (first, last) => this.#load(first, last);
    this.#layOut();
  }

  setCount(count) {
    this.node.setAttribute("aria-rowcount", count + 1);
    this.rows.setCount(count);
  }

  /** Sets a count that has grown: the last block may have had fewer rows than it has now. */
  grow(count) {
    this.blocks.delete(Math.floor(this.rows.count / BLOCK));
    this.setCount(count);
  }

  /** Fetches the visible rows again. */
  reload() {
    this.blocks.clear();
    this.rows.clear();
    this.rows.render();
  }

  /** Moves to a cell. */
  go(row, column = this.column) {
    this.#activate(row, column);
  }

  /** The rows that are loaded, with their positions. */
  loaded() {
    return [...this.blocks].flatMap(([block, { rows }]) =>
      (rows ?? []).map((row, i) => [block * BLOCK + i, row]),
    );
  }

  at(index) {
    return this.blocks.get(Math.floor(index / BLOCK))?.rows?.[index % BLOCK];
  }

  dispose() {
    this.rows.stop();
  }

  // ---------------------------------------------------------------- columns

  #storedWidths() {
    let stored = {};
    try {
      stored = JSON.parse(localStorage.getItem(this.storageKey) ?? "{}");
    } catch {
      /* not ours, or forbidden */
    }
    return this.columns.map((column) => Number(stored[column.label]) || column.width || 160);
  }

  #layOut() {
    this.node.style.setProperty("--columns", this.widths.map((width) => `${width}px`).join(" "));
    this.node.style.setProperty("--width", `${this.widths.reduce((a, b) => a + b, 0)}px`);
    let left = 0;
    this.columns.forEach((column, i) => {
      if (!column.pinned) return;
      this.node.style.setProperty(`--pin-${i}`, `${left}px`);
      left += this.widths[i];
    });
  }

  #pin(cell, index) {
    if (!this.columns[index].pinned) return cell;
    cell.style.setProperty("left", `var(--pin-${index})`);
    return cell;
  }

  #classes(column) {
    return ["cell", column.numeric && "numeric", column.pinned && "pinned"];
  }

  #resize(index, width) {
    this.widths[index] = Math.round(Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, width)));
    this.#layOut();
    try {
      localStorage.setItem(
        this.storageKey,
        JSON.stringify(Object.fromEntries(this.columns.map((c, i) => [c.label, this.widths[i]]))),
      );
    } catch {
      /* not stored: they hold until the page is left */
    }
  }

  #headCell(column, index) {
    const grip = h("span.grip", { "aria-hidden": "true" });
    grip.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      grip.setPointerCapture(event.pointerId);
      const [from, width] = [event.clientX, this.widths[index]];
      grip.onpointermove = (move) => this.#resize(index, width + move.clientX - from);
      grip.onpointerup = grip.onpointercancel = () => (grip.onpointermove = null);
    });
    const cell = h(
      "div",
      {
        role: "columnheader",
        id: `${this.id}-h-${index}`,
        title: column.label,
        class: [...this.#classes(column), this.onhead && "sortable"].filter(Boolean).join(" "),
        "aria-colindex": index + 1,
        "aria-sort": column.sort ?? null,
        onclick: (event) => event.target !== grip && this.onhead?.(index),
      },
      h("span.clip.head-label", {}, column.label, ARROWS[column.sort] ?? ""),
      column.detail ?? null,
      grip,
    );
    return this.#pin(cell, index);
  }

  // ---------------------------------------------------------------- rows

  #create(index) {
    const cells = this.columns.map((_, c) =>
      this.#pin(
        h("div", {
          role: "gridcell",
          class: "cell",
          id: `${this.id}-${index}-${c}`,
          "aria-colindex": c + 1,
        }),
        c,
      ),
    );
    return h("div.grid-row", { role: "row", "aria-rowindex": index + 2 }, cells);
  }

  #patch(node, index) {
    const row = this.at(index);
    node.classList.toggle("loading", !row);
    node.classList.toggle("active", index === this.row);
    if (this.isSelected) {
      const isSelected = Boolean(row && this.isSelected(row));
      node.classList.toggle("selected", isSelected);
      node.setAttribute("aria-selected", isSelected);
    }
    this.columns.forEach((column, c) => {
      const cell = node.children[c];
      const text = row ? column.text(row) : "";
      const isNull = row && (text === null || text === undefined);
      say(cell, isNull ? "∅" : text);
      cell.title = isNull ? t("No value") : "";
      const tone = row ? (column.tone?.(row) ?? "") : "";
      cell.className = [
        ...this.#classes(column),
        isNull && "null",
        tone,
        index === this.row && c === this.column && "here",
      ]
        .filter(Boolean)
        .join(" ");
      if (tone === "offending") cell.setAttribute("aria-invalid", "true");
      else cell.removeAttribute("aria-invalid");
    });
  }

  async #load(first, last) {
    if (last <= first) return;
    for (let b = Math.floor(first / BLOCK); b <= Math.floor((last - 1) / BLOCK); b += 1) {
      if (this.blocks.has(b)) continue;
      const block = { rows: null };
      this.blocks.set(b, block);
      if (this.blocks.size > KEPT_BLOCKS) this.blocks.delete(this.blocks.keys().next().value);
      this.fetch(b * BLOCK, BLOCK).then(
        (rows) => {
          block.rows = rows;
          this.rows.render();
        },
        () =>
          setTimeout(
            () => this.blocks.get(b) === block && this.blocks.delete(b) && this.rows.render(),
            2000,
          ),
      );
    }
  }

  // ---------------------------------------------------------------- keyboard and pointer

  #key(event) {
    if (this.onkey(event, this.at(this.row), this.column)) return event.preventDefault();
    const page = Math.max(1, Math.floor(this.node.clientHeight / 34) - 2);
    const moves = {
      ArrowDown: [1, 0],
      ArrowUp: [-1, 0],
      ArrowRight: [0, 1],
      ArrowLeft: [0, -1],
      PageDown: [page, 0],
      PageUp: [-page, 0],
      Home: [event.ctrlKey ? -Infinity : 0, -Infinity],
      End: [event.ctrlKey ? Infinity : 0, Infinity],
    };
    if (event.key === "Enter" && this.at(this.row))
      return (event.preventDefault(), this.onactivate(this.at(this.row), this.column, true, event));
    const move = moves[event.key];
    if (!move || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey && move[1]) {
      this.#resize(this.column, this.widths[this.column] + 16 * move[1]);
      return announce(
        t("{name}: {width} pixels wide", {
          name: this.columns[this.column].label,
          width: this.widths[this.column],
        }),
      );
    }
    this.#activate(this.row + move[0], this.column + move[1]);
  }

  #click(event, isKeyed) {
    const cell = event.target.closest("[role=gridcell]");
    if (!cell) return;
    const [row, column] = cell.id.split("-").slice(-2).map(Number);
    this.#activate(row, column);
    if (this.at(row)) this.onactivate(this.at(row), column, isKeyed, event);
  }

  #activate(row, column) {
    this.row = Math.max(0, Math.min(row, this.rows.count - 1));
    this.column = Math.max(0, Math.min(column, this.columns.length - 1));
    this.rows.reveal(this.row);
    const cell = document.getElementById(`${this.id}-${this.row}-${this.column}`);
    if (!cell) return;
    this.node.setAttribute("aria-activedescendant", cell.id);
    if (this.columns[this.column].pinned) return;
    const pinned = this.columns.reduce(
      (sum, { pinned }, i) => sum + (pinned ? this.widths[i] : 0),
      0,
    );
    const [left, right] = [cell.offsetLeft - pinned, cell.offsetLeft + cell.offsetWidth];
    if (left < this.node.scrollLeft) this.node.scrollLeft = left;
    else if (right > this.node.scrollLeft + this.node.clientWidth)
      this.node.scrollLeft = right - this.node.clientWidth;
  }
}
