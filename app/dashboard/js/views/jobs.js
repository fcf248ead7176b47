// The list of jobs, with the upload of files.

import * as api from "../api.js";
import { announce, button, empty, h, icon, iconButton, replace, say, select } from "../dom.js";
import {
  COUNTS,
  NAMES,
  STATES,
  TONES,
  ago,
  bytes,
  canRetry,
  count,
  duration,
  isFinal,
  percent,
  plural,
  rate,
  standing,
} from "../format.js";
import { system } from "../main.js";
import { badge, progressBar } from "../parts.js";
import { fail, isPending, removeLater, toast } from "../toast.js";
import { abandon, interrupted } from "../tus.js";
import { Upload } from "../upload.js";
import { VirtualRows } from "../virtual.js";

const PAGE = 100;
const narrow = matchMedia("(max-width: 720px)");
/** Running and refused uploads; they survive a change of views. */
const uploads = h("ul.uploads", { "aria-label": "Uploads" });
export const deletePath = (job) => `/api/v1/files/${job.file_id}`;

/** The import sheet, which is loaded when it is first opened. */
const withSheet = (use) => import("../sheet.js").then(use, fail);

/** Opens the import sheet for these files. */
const choose = (files, settings = {}) =>
  withSheet(({ importFiles }) => importFiles(files, start, settings));

/** A row for a running upload. */
function start(file, options) {
  const bar = progressBar(`Upload of ${file.name}`);
  const text = h("span.muted.num");
  const stop = iconButton("cancel", `Stop the upload of ${file.name}`, () => upload.cancel());
  const row = h("li", {}, icon("file"), h("span.clip.grow", {}, file.name), text, bar, stop);
  for (const stopped of [...uploads.querySelectorAll("[data-name]")])
    if (stopped.dataset.name === file.name) stopped.remove();
  uploads.append(row);
  const upload = new Upload(file, options, (each) => {
    bar.show(each.share * 100);
    if (each.state === "sending") {
      say(
        text,
        each.share < 1
          ? `${percent(each.share)} of ${bytes(file.size)} · ${bytes(each.speed)}/s · ${duration(each.rest)} left`
          : "Finishing …",
      );
    } else if (each.state === "waiting")
      say(
        text,
        each.sent
          ? `Connection lost at ${percent(each.share)}; resuming …`
          : "Connection lost; trying again …",
      );
    else if (each.state === "locked") say(text, "Continues after you sign in");
    else if (each.state === "failed") row.replaceWith(refused(file, options, each.error));
    else row.remove();
    if (each.state === "done") {
      announce(`${file.name} is uploaded`);
      if (each.answer.duplicate)
        toast("This file was already uploaded", { detail: "Its job is in the list." });
    }
  });
}

/** A row for a failed upload with its reason, until it is dismissed. */
function refused(file, options, { title, message, remedy }) {
  const reason = [title === message.replace(/\.$/, "") ? "" : `${title}.`, message, remedy]
    .filter(Boolean)
    .join(" ");
  const row = h(
    "li.refused",
    { role: "listitem" },
    icon("warn"),
    h("b.clip.grow", {}, file.name),
    button("Change settings", () => (row.remove(), choose([file], options.settings)), {
      kind: "quiet",
      "aria-label": `Change the settings of ${file.name}`,
    }),
    button("Try again", () => (row.remove(), start(file, options)), {
      kind: "quiet",
      iconName: "retry",
      "aria-label": `Try ${file.name} again`,
    }),
    iconButton("close", `Dismiss ${file.name}`, () => row.remove()),
    h("p.bad-text", {}, reason),
  );
  announce(`${file.name}: ${reason}`);
  return row;
}

export default function jobs({ params }) {
  const filter = {
    search: params.get("search") ?? "",
    status: params.get("status") ?? "",
    processor: params.get("processor") ?? "",
  };
  let items = [];
  const known = new Map();
  let cursor = null;
  let isLoading = false;
  let hasAll = false;
  let round = 0;

  // ---------------------------------------------------------------- uploading

  const files = h("input.hidden", {
    type: "file",
    multiple: true,
    id: "files",
    "aria-label": "Files to upload",
    tabindex: -1,
    onchange: () => (choose([...files.files]), (files.value = "")),
  });
  system().then(
    (about) =>
      say(
        limit,
        `CSV, JSON, JSON Lines or workbooks, plain or compressed, up to ${bytes(about.limits.max_upload_bytes)} each`,
      ),
    fail,
  );
  api.get("/api/v1/job-types").then(({ items }) => {
    const names = new Set(
      [...items.map((type) => type.processor), filter.processor].filter(Boolean),
    );
    replace(
      kind,
      h("option", { value: "" }, "Every processor"),
      [...names].sort().map((name) => h("option", { value: name }, name)),
    );
    kind.value = filter.processor;
  }, fail);
  const limit = h("p.muted", {}, "CSV, JSON, JSON Lines or workbooks, plain or compressed");
  const drop = h(
    "section.drop",
    { "aria-label": "Upload" },
    h(
      "div.drop-text",
      {},
      icon("upload"),
      h(
        "div",
        {},
        h(
          "p.lead",
          {},
          "Drop files here, ",
          button("choose files", () => files.click(), { kind: "link" }),
          " or ",
          button("paste a table", () => withSheet(({ pasteTable }) => pasteTable(start)), {
            kind: "link",
          }),
        ),
        limit,
      ),
    ),
    files,
  );
  for (const stopped of [...uploads.querySelectorAll("[data-name]")]) stopped.remove();
  for (const each of interrupted()) {
    const row = h(
      "li",
      { "data-name": each.name },
      icon("pause"),
      h("span.clip.grow", {}, each.name),
      h("span.muted", {}, `Stopped at ${percent(each.share)}: choose the file again to resume`),
      iconButton("close", `Forget the upload of ${each.name}`, () => (abandon(each), row.remove())),
    );
    uploads.append(row);
  }
  let depth = 0;
  const over = (event) => {
    if (event.dataTransfer?.types.includes("Files"))
      drop.classList.toggle("over", (depth += 1) > 0);
  };
  const out = () => drop.classList.toggle("over", (depth = Math.max(0, depth - 1)) > 0);
  const dropped = (event) => {
    depth = 0;
    drop.classList.remove("over");
    if (event.dataTransfer?.files.length) choose([...event.dataTransfer.files]);
  };
  /** Text with several cells or lines that is pasted anywhere but in a field. */
  const pasted = (event) => {
    if (event.target.closest?.("input, textarea, select, dialog")) return;
    if (event.clipboardData.files.length) return choose([...event.clipboardData.files]);
    const text = event.clipboardData.getData("text/plain");
    if (/[\t\n]/.test(text.trim()))
      withSheet(({ importFiles, pastedFile }) => importFiles([pastedFile(text)], start));
  };
  addEventListener("dragenter", over);
  addEventListener("dragleave", out);
  addEventListener("drop", dropped);
  addEventListener("paste", pasted);

  // ---------------------------------------------------------------- the list

  const search = h("input", {
    type: "search",
    placeholder: "Search by file name",
    "aria-label": "Search by file name",
    value: filter.search,
  });
  const status = select(
    [
      ["", "Every status"],
      ...Object.entries({ ...STATES, completed_with_errors: "With rejects, or incomplete" }),
    ],
    filter.status,
    { "aria-label": "Status" },
  );
  const kind = select(
    [["", "Every processor"], ...(filter.processor ? [[filter.processor, filter.processor]] : [])],
    filter.processor,
    { "aria-label": "Processor" },
  );
  const state = h("span.live", { role: "status" }, "Connecting …");
  let timer = null;
  const changed = () => {
    Object.assign(filter, {
      search: search.value.trim(),
      status: status.value,
      processor: kind.value,
    });
    history.replaceState(null, "", `#${api.query("/jobs", filter)}`);
    reload();
  };
  search.addEventListener("input", () => (clearTimeout(timer), (timer = setTimeout(changed, 250))));
  status.addEventListener("change", changed);
  kind.addEventListener("change", changed);

  const list = new VirtualRows({
    role: "list",
    label: "Jobs",
    rowHeight: () => (narrow.matches ? 148 : 76),
    key: (i) => items[i].job_id,
    create: (i) => jobRow(items[i]),
    patch: (node, i) => {
      node.setAttribute("aria-posinset", i + 1);
      node.setAttribute("aria-setsize", hasAll ? items.length : -1);
      node.show(items[i]);
    },
  });
  list.has = (key) => known.has(key);
  list.onrange = (_, last) => last > items.length - 40 && more();
  list.node.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.tagName === "SELECT") return;
    const rows = [...list.node.children].sort(
      (a, b) => a.getAttribute("aria-posinset") - b.getAttribute("aria-posinset"),
    );
    const next =
      rows[rows.findIndex((row) => row.contains(event.target)) + step]?.querySelector("a");
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  });
  const place = h("div");

  function shows(item) {
    return (
      !item.parent_id &&
      !isPending(deletePath(item)) &&
      (!filter.status || item.status === filter.status) &&
      (!filter.processor || item.processor === filter.processor) &&
      (!filter.search || item.filename.toLowerCase().includes(filter.search.toLowerCase()))
    );
  }

  function draw() {
    if (!items.length && !isLoading) {
      const isFiltered = filter.search || filter.status || filter.processor;
      replace(
        place,
        isFiltered
          ? empty(
              "No job fits",
              "Nothing matches this search.",
              button(
                "Show all jobs",
                () => ((search.value = ""), (status.value = ""), (kind.value = ""), changed()),
              ),
            )
          : empty(
              "No jobs yet",
              "Drop a file above. Each of its rows ends in the results or, with its reason, in the rejects.",
              button("Choose files", () => files.click(), { kind: "primary", iconName: "upload" }),
            ),
      );
    } else if (!list.node.isConnected) replace(place, list.node);
    list.setCount(items.length);
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
    known.set(item.job_id, item);
    if (at >= 0) items[at] = item;
    else if (hasAll || !items.length || item.number > items[items.length - 1].number) {
      const index = items.findIndex((each) => each.number < item.number);
      items.splice(index < 0 ? items.length : index, 0, item);
    }
  }

  async function reload() {
    round += 1;
    Object.assign(list, { top: 0 });
    [cursor, hasAll, isLoading] = [null, false, false];
    items = [];
    known.clear();
    await more();
  }

  async function more() {
    if (isLoading || hasAll) return;
    isLoading = true;
    const mine = round;
    try {
      const page = await api.get(
        api.query("/api/v1/jobs", { limit: PAGE, before: cursor, parts: false, ...filter }),
      );
      if (mine !== round) return;
      [cursor, hasAll] = [page.next_before, page.next_before === null];
      page.items.forEach(put);
      isLoading = false;
      draw();
    } catch (error) {
      if (mine !== round) return;
      isLoading = false;
      replace(
        place,
        empty(
          error.title ?? "The list cannot be loaded",
          `${error.message} ${error.remedy ?? ""}`,
          button("Try again", reload, { iconName: "retry" }),
        ),
      );
    }
  }

  /** Reads the newest page again, for changes that this page missed. */
  async function refresh() {
    const mine = round;
    const page = await api
      .get(api.query("/api/v1/jobs", { limit: PAGE, parts: false, ...filter }))
      .catch(() => null);
    if (!page || mine !== round || isLoading) return;
    const [there, last] = [new Set(page.items.map((each) => each.job_id)), page.next_before ?? 0];
    for (const each of items.filter((item) => item.number >= last && !there.has(item.job_id)))
      known.delete(each.job_id);
    items = items.filter((each) => known.has(each.job_id));
    page.items.forEach(put);
    draw();
  }

  /** Removes a job from the list; the keyboard focus moves to the next one. */
  function takeOff(jobId) {
    const index = items.findIndex((each) => each.job_id === jobId);
    items.splice(index, 1);
    known.delete(jobId);
    draw();
    const next = items[Math.min(index, items.length - 1)];
    (next ? list.nodes.get(next.job_id)?.querySelector("a") : search)?.focus();
  }

  // ---------------------------------------------------------------- one row

  function jobRow(first) {
    let job = first;
    const name = h("a.clip", { href: `#/jobs/${job.job_id}` }, job.filename);
    const mark = badge(standing(job));
    const about = h("span.muted.clip");
    const bar = progressBar(`Progress of ${job.filename}`);
    const speed = h("span.muted.num");
    const done = h("div.counts.num");
    const order = select(
      Array.from({ length: 11 }, (_, i) => [i, i]),
      job.priority,
      { "aria-label": `Priority of ${job.filename}` },
    );
    order.addEventListener("change", async () => {
      try {
        await api.patch(`/api/v1/jobs/${job.job_id}`, { priority: Number(order.value) });
        announce(`Priority ${order.value}`);
      } catch (error) {
        order.value = job.priority;
        fail(error);
      }
    });
    const act = (path, text) => () => api.post(path()).then(() => announce(text), fail);
    const cancel = iconButton(
      "cancel",
      `Cancel ${job.filename}`,
      act(() => `/api/v1/jobs/${job.job_id}/cancel`, "Cancelled"),
    );
    const again = iconButton(
      "retry",
      `Retry ${job.filename}`,
      act(() => `/api/v1/jobs/${job.job_id}/retry`, "Runs again"),
    );
    const gone = iconButton("remove", `Delete ${job.filename}`, () => {
      const saved = job;
      removeLater(deletePath(job), `${job.filename} is deleted`, {
        onundo: () => (put(saved), draw()),
      });
      takeOff(job.job_id);
    });
    const node = h(
      "article.job",
      { role: "listitem" },
      h("div.job-name", {}, name, h("div.row.tight", {}, mark, about)),
      h("div.job-progress", {}, bar, speed),
      h("div.job-counts", {}, done),
      h("div.job-actions", {}, order, cancel, again, gone),
    );
    node.show = (item) => {
      if (item === job && node.dataset.drawn) return;
      job = item;
      node.dataset.drawn = "yes";
      const state = standing(item);
      mark.show(state);
      say(
        about,
        [
          item.processor,
          bytes(item.size_bytes),
          item.parts ? plural(item.parts, "part") : null,
          ago(item.created_at),
        ]
          .filter(Boolean)
          .join(" · "),
      );
      bar.show(item.progress_percent, isFinal(item.status) ? TONES[state] : "busy");
      say(
        speed,
        item.waiting_on
          ? `Waits for ${item.waiting_on}`
          : item.status === "processing"
            ? atWork(item)
            : item.status === "queued"
              ? "Waiting in the queue"
              : item.error
                ? (item.error.message ?? item.error.code)
                : item.rows_per_second
                  ? rate(item.rows_per_second)
                  : "",
      );
      replace(
        done,
        COUNTS.filter(
          ([name]) =>
            name === "loaded" ||
            (item.counts[name] && (name !== "not_processed" || isFinal(item.status))),
        ).map(([name, words, tone]) =>
          h(
            `span${name === "loaded" ? "" : `.${tone}-text`}`,
            {},
            `${count(item.counts[name])} ${words}`,
          ),
        ),
      );
      if (document.activeElement !== order) order.value = item.priority;
      order.hidden = isFinal(item.status);
      cancel.hidden = isFinal(item.status);
      again.hidden = !canRetry(item);
    };
    return node;
  }

  // ---------------------------------------------------------------- live

  const stop = api.live(
    "/api/v1/jobs/events",
    {
      jobs: ({ items: news, removed }) => {
        news.forEach(put);
        removed.forEach((jobId) => known.delete(jobId));
        if (removed.length)
          announce(plural(removed.length, "job was deleted", "jobs were deleted"));
        items = items.filter((each) => known.has(each.job_id));
        if (!isLoading) draw();
      },
      reload,
    },
    (isLive) => {
      state.className = `live ${isLive ? "on" : ""}`;
      say(state, isLive ? "Live" : "Connection lost; trying again …");
      if (isLive) refresh(); // changes since the first request
    },
  );
  more();

  return {
    title: "Jobs",
    node: h(
      "div.page",
      {},
      h("div.page-head", {}, h("h1", {}, "Jobs"), state),
      drop,
      uploads,
      h("div.filters", { role: "search" }, search, status, kind),
      place,
    ),
    dispose() {
      stop();
      list.stop();
      clearTimeout(timer);
      removeEventListener("dragenter", over);
      removeEventListener("dragleave", out);
      removeEventListener("drop", dropped);
      removeEventListener("paste", pasted);
    },
  };
}

/** Progress, speed and remaining time, as far as known. */
function atWork(item) {
  if (!item.progress_percent) return "Just started";
  const left = item.eta_seconds === null ? null : `${duration(item.eta_seconds)} left`;
  return [
    `${item.progress_percent} %`,
    item.rows_per_second ? rate(item.rows_per_second) : null,
    left,
  ]
    .filter(Boolean)
    .join(" · ");
}
