// The list of jobs: pages of the service in the chosen order, kept up to date by its events.

import * as api from "../api.js";
import { announce, button, empty, h, replace, say } from "../dom.js";
import { NAMES, isFinal, plural, standing } from "../format.js";
import { t } from "../messages.js";
import { isPending, removeLater } from "../toast.js";
import { VirtualRows } from "../virtual.js";
import { conditions, fits } from "./conditions.js";
import { jobRow } from "./row.js";

const PAGE = 100;
const AHEAD = 40;
const narrow = matchMedia("(max-width: 900px)");
const [WIDE_PIXELS, NARROW_PIXELS] = [86, 198];
const deletePath = (job) => `/api/v1/files/${job.file_id}`;

/** The list as {node, state, ...}. `does` are {select(item, event), isSelected(id),
 *  filterBy(label), ondraw()}; `teach()` returns what an empty list shows. */
export function jobList(filters, does, teach) {
  let items = [];
  const known = new Map();
  let cursor = null;
  let isLoading = false;
  let hasAll = false;
  let round = 0;
  const arrived = new Set();
  const state = h("span.live", { role: "status" }, t("Connecting …"));
  const news = button("", () => reload(), { kind: "link", hidden: true });
  const place = h("div");

  const list = new VirtualRows({
    role: "list",
    label: t("Jobs"),
    rowHeight: () => (narrow.matches ? NARROW_PIXELS : WIDE_PIXELS),
    key: (i) => items[i].job_id,
    create: (i) => jobRow(items[i], { ...does, remove: (job) => removeOne(job) }),
    patch: (node, i) => {
      node.setAttribute("aria-posinset", i + 1);
      node.setAttribute("aria-setsize", hasAll ? items.length : -1);
      node.show(items[i]);
    },
  });
  list.has = (key) => known.has(key);
  list.onrange = (_, last) => last > items.length - AHEAD && more();

  /** Whether the newest job is first: only then is the place of a job known that arrives. */
  const isNewestFirst = () => {
    const { sort, order } = filters.order();
    return sort === "created" && order === "desc";
  };
  const shows = (item) => !isPending(deletePath(item)) && fits(item, filters.filter);

  function draw() {
    news.hidden = !arrived.size;
    if (arrived.size) say(news, plural(arrived.size, "new job: show", "new jobs: show"));
    if (!items.length && !isLoading) {
      replace(
        place,
        filters.isSet
          ? empty(
              t("No job fits"),
              t("Nothing matches these filters."),
              button(t("Show all jobs"), filters.clear),
            )
          : teach(),
      );
    } else if (!list.node.isConnected) replace(place, list.node);
    list.setCount(items.length);
    does.ondraw();
  }

  function put(item) {
    const at = items.findIndex((each) => each.job_id === item.job_id);
    if (!shows(item)) {
      if (at >= 0) items.splice(at, 1);
      known.delete(item.job_id);
      return;
    }
    const before = known.get(item.job_id);
    if (before && !isFinal(before.status) && isFinal(item.status))
      announce(`${item.filename}: ${NAMES[standing(item)]}`);
    if (at >= 0) {
      known.set(item.job_id, item);
      items[at] = item;
    } else if (isNewestFirst()) insert(item);
    else if (!isFinal(item.status)) arrived.add(item.job_id);
  }

  /** Inserts a job at its place, if that is within what is loaded. */
  function insert(item) {
    if (!hasAll && items.length && item.number < items[items.length - 1].number) return;
    known.set(item.job_id, item);
    const index = items.findIndex((each) => each.number < item.number);
    items.splice(index < 0 ? items.length : index, 0, item);
  }

  const page = (parameters) =>
    api.get(
      api.query("/api/v1/jobs", {
        limit: PAGE,
        parts: false,
        ...conditions(filters.filter),
        ...filters.order(),
        ...parameters,
      }),
    );

  async function reload() {
    round += 1;
    Object.assign(list, { top: 0 });
    [cursor, hasAll, isLoading] = [null, false, false];
    items = [];
    known.clear();
    arrived.clear();
    await more();
  }

  async function more() {
    if (isLoading || hasAll) return;
    isLoading = true;
    const mine = round;
    try {
      const next = await page({ cursor });
      if (mine !== round) return;
      [cursor, hasAll] = [next.next_cursor, next.next_cursor === null];
      for (const item of next.items) {
        if (known.has(item.job_id) || isPending(deletePath(item))) continue;
        known.set(item.job_id, item);
        items.push(item);
      }
      isLoading = false;
      draw();
    } catch (error) {
      if (mine !== round) return;
      isLoading = false;
      replace(
        place,
        empty(
          error.title ?? t("The list cannot be loaded"),
          `${error.message} ${error.remedy ?? ""}`,
          button(t("Try again"), reload, { iconName: "retry" }),
        ),
      );
    }
  }

  /** Reads the newest page again, for changes that this page missed. */
  async function refresh() {
    if (!isNewestFirst()) return;
    const mine = round;
    const newest = await page({}).catch(() => null);
    if (!newest || mine !== round || isLoading) return;
    const there = new Set(newest.items.map((each) => each.job_id));
    const last = newest.next_before ?? 0;
    for (const each of items.filter((item) => item.number >= last && !there.has(item.job_id)))
      known.delete(each.job_id);
    items = items.filter((each) => known.has(each.job_id));
    newest.items.forEach(put);
    draw();
  }

  /** Takes jobs off the list; the keyboard focus moves to the next one. */
  function takeOff(gone) {
    const index = items.findIndex((each) => gone.has(each.job_id));
    items = items.filter((each) => !gone.has(each.job_id));
    for (const id of gone) known.delete(id);
    draw();
    const next = items[Math.min(index, items.length - 1)];
    (next ? list.nodes.get(next.job_id)?.querySelector("a.clip") : filters.search)?.focus();
  }

  function removeOne(job) {
    const text = t("{name} is deleted", { name: job.filename });
    removeLater(deletePath(job), text, { onundo: () => restore([job]) });
    takeOff(new Set([job.job_id]));
  }

  function restore(saved) {
    if (!isNewestFirst()) return reload();
    saved.forEach(put);
    draw();
  }

  const stop = api.live(
    "/api/v1/jobs/events",
    {
      jobs: ({ items: changed, removed }) => {
        changed.forEach(put);
        removed.forEach((jobId) => (known.delete(jobId), arrived.delete(jobId)));
        if (removed.length)
          announce(plural(removed.length, "job was deleted", "jobs were deleted"));
        items = items.filter((each) => known.has(each.job_id));
        if (!isLoading) draw();
      },
      reload,
    },
    (isLive) => {
      state.className = `live ${isLive ? "on" : ""}`;
      say(state, isLive ? t("Live") : t("Connection lost; trying again …"));
      if (isLive) refresh(); // changes since the first request
    },
  );
  more();

  /** The drawn rows from the top. */
  const drawn = () =>
    [...list.node.children].sort(
      (a, b) => a.getAttribute("aria-posinset") - b.getAttribute("aria-posinset"),
    );

  return {
    node: place,
    state,
    news,
    reload,
    items: () => items,
    hasAll: () => hasAll,
    redraw: () => list.nodes.forEach((node) => node.choose()),
    relabel(jobId, labels) {
      const item = known.get(jobId);
      if (item) put({ ...item, labels });
      draw();
    },
    /** Hides jobs while `later(paths, restore)` waits for "Undo". */
    hide(gone, later) {
      later([...new Set(gone.map(deletePath))], () => restore(gone));
      takeOff(new Set(gone.map((item) => item.job_id)));
    },
    isInside: () => list.node.contains(document.activeElement),
    /** Moves the keyboard focus; returns false if there is no such row. */
    step(by) {
      const rows = drawn();
      const at = rows.findIndex((row) => row.contains(document.activeElement));
      const next = rows[at < 0 ? 0 : at + by]?.querySelector("a.clip");
      if (!next) return false;
      next.focus();
      next.scrollIntoView({ block: "nearest" });
      return true;
    },
    /** The job that has the keyboard focus. */
    focused() {
      for (const [jobId, node] of list.nodes)
        if (node.contains(document.activeElement)) return known.get(jobId);
      return null;
    },
    dispose() {
      stop();
      list.stop();
    },
  };
}
