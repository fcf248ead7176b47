// One row beside its table: all of its cells, and where it came from.

import * as api from "./api.js";
import { asTabs, cellText } from "./cells.js";
import { announce, button, h, iconButton, replace } from "./dom.js";
import { bytes, count } from "./format.js";
import { t } from "./messages.js";
import { facts, spinner } from "./parts.js";
import { fail } from "./toast.js";

export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    announce(said);
  } catch {
    fail({ title: t("Not copied"), message: t("The browser does not allow it."), remedy: "" });
  }
}

/** The drawer of a job's results. `onmove(step)`: to the row before or behind; `onclose()`. */
export function rowDrawer(path, { onmove, onclose }) {
  const node = h("section.card.full.reject-detail.drawer", {
    hidden: true,
    tabindex: -1,
    "aria-label": t("Selected row"),
    onkeydown: (event) => {
      if (event.key === "Escape") close();
    },
  });
  let turn = 0;

  function close() {
    turn += 1;
    node.hidden = true;
    onclose();
  }

  async function show(number) {
    const mine = ++turn;
    if (node.hidden) replace(node, spinner());
    node.hidden = false;
    let row;
    try {
      row = await api.get(`${path}/${number}`);
    } catch (error) {
      if (mine !== turn) return false;
      row = error.status === 404 ? null : fail(error);
    }
    if (mine !== turn) return false;
    replace(
      node,
      head(number, row),
      row ? body(row) : h("p", {}, t("This row is not among the results.")),
    );
    return Boolean(row);
  }

  function head(number, row) {
    const cells = row?.cells.map(cellText) ?? [];
    return [
      h(
        "div.row.between",
        {},
        h("h2", {}, t("Row {number}", { number: count(number) })),
        h(
          "div.row.tight",
          {},
          button("←", () => onmove(-1), { "aria-label": t("Row before") }),
          button("→", () => onmove(1), { "aria-label": t("Row behind") }),
          row && button(t("Copy row"), () => copy(asTabs([row.columns, cells]), t("Row copied"))),
          iconButton("close", t("Close"), close),
        ),
      ),
    ];
  }

  function body(row) {
    return [
      h(
        "dl.drawer-cells",
        {},
        row.columns.map((name, i) => {
          const text = cellText(row.cells[i]);
          return h(
            "div",
            {},
            h("dt", {}, name),
            h("dd", {}, text === null || text === "" ? h("span.muted", {}, t("(empty)")) : text),
          );
        }),
      ),
      h("h3", {}, t("In the file")),
      row.line === null
        ? h("p.muted", {}, t("The file was deleted."))
        : [
            h("pre", { tabindex: 0, "aria-label": t("The row in the file") }, row.raw ?? row.text),
            facts([
              row.place ? [t("Place"), row.place] : [t("Line"), count(row.line)],
              [
                t("Bytes"),
                t("{start} to {end} ({size})", {
                  start: count(row.byte_start),
                  end: count(row.byte_end),
                  size: bytes(row.byte_end - row.byte_start),
                }),
              ],
            ]),
          ],
      row.correction_id &&
        h("p", {}, h("a", { href: `#/jobs/${row.correction_id}` }, t("Corrected later"))),
    ];
  }

  return { node, show, close };
}
