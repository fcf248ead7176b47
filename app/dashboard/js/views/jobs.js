// Jobs: the upload of files, and the list with its filters, order and actions on many jobs.

import { button, empty, h, iconButton, replace } from "../dom.js";
import { where } from "../jobs/conditions.js";
import { dropZone } from "../jobs/drop.js";
import { SORTS, filterBar } from "../jobs/filters.js";
import { listKeys, showKeys } from "../jobs/keys.js";
import { jobList } from "../jobs/list.js";
import { selection } from "../jobs/selection.js";
import { showEarlier, uploads } from "../jobs/uploads_place.js";
import { t } from "../messages.js";
import { fail } from "../toast.js";

/** The columns by which the list can be ordered, as they stand above the rows. */
const COLUMNS = [
  ["name", "job-name"],
  [null, "", t("Status")],
  ["rows", "num"],
  ["rejected", "num"],
  ["size", "num extra"],
  ["duration", "num extra"],
  ["created", "num"],
];

export default function jobs({ params }) {
  const drop = dropZone();
  showEarlier(drop.send).catch(fail);
  const filters = filterBar(params, () => {
    chosen.clear();
    drawHeads();
    list.reload();
  });
  const all = h("input", {
    type: "checkbox",
    "aria-label": t("Select all jobs shown"),
    onclick: () => chosen.toggleShown(),
  });
  const heads = h("div.job-heads", { role: "group", "aria-label": t("Order of the list") });
  const list = jobList(
    filters,
    {
      select: (item, event) => chosen.toggle(item, event),
      isSelected: (id) => chosen.isSelected(id),
      filterBy: (label) => filters.setLabel(label),
      ondraw: () => {
        heads.hidden = !list.items().length;
        filters.node.hidden = heads.hidden && !filters.isSet;
        chosen.draw();
        showAll();
      },
    },
    () =>
      empty(
        t("No jobs yet"),
        t(
          "Drop a file above. Each of its rows ends in the results or, with its reason, in the rejects.",
        ),
        button(t("Choose files"), drop.choose, { kind: "primary", iconName: "upload" }),
      ),
  );
  const chosen = selection({
    items: list.items,
    hasAll: list.hasAll,
    where: () => where(filters.filter),
    relabel: (jobId, labels) => (list.relabel(jobId, labels), filters.readLabels()),
    hide: list.hide,
    reload: () => (list.reload(), filters.readLabels()),
    redraw: () => (list.redraw(), showAll()),
  });

  /** Shows in the box above the rows whether all are selected, or some. */
  function showAll() {
    const items = list.items();
    const count = items.filter((item) => chosen.isSelected(item.job_id)).length;
    all.checked = count > 0 && count === items.length;
    all.indeterminate = count > 0 && count < items.length;
  }

  function drawHeads() {
    const { sort, order } = filters.order();
    replace(
      heads,
      all,
      COLUMNS.map(([name, kind, text]) => {
        const classes = kind ? `.${kind.replace(" ", ".")}` : "";
        if (name === null) return h(`span.head${classes}`, {}, text);
        const isChosen = sort === name;
        const arrow = order === "asc" ? "↑" : "↓";
        return h(
          `button.head${classes}`,
          {
            type: "button",
            "aria-pressed": String(isChosen),
            title: t("Order by {name}", { name: SORTS[name].name }),
            onclick: () => filters.sortBy(name),
          },
          SORTS[name].name,
          isChosen && h("span", { "aria-hidden": "true" }, ` ${arrow}`),
          isChosen && h("span.hidden", {}, order === "asc" ? t("ascending") : t("descending")),
        );
      }),
      iconButton("keys", t("Keys of this list"), showKeys),
    );
  }

  const stopKeys = listKeys({
    step: list.step,
    isInside: list.isInside,
    toggle(event) {
      const item = list.focused();
      if (!item) return false;
      chosen.toggle(item, event);
      return true;
    },
    search: () => filters.search.focus(),
    clear: () => (chosen.ids.size ? chosen.clear() : false),
  });
  drawHeads();

  return {
    title: t("Jobs"),
    node: h(
      "div.page.jobs-page",
      {},
      h("div.page-head", {}, h("h1", {}, t("Jobs")), list.news, list.state),
      drop.node,
      uploads,
      filters.node,
      chosen.node,
      h("div.job-list", {}, heads, list.node),
    ),
    dispose() {
      stopKeys();
      list.dispose();
      filters.dispose();
      drop.dispose();
    },
  };
}
