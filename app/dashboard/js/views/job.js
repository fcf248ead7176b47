// One job: a permanent head, and tabs that are separate modules.

import * as api from "../api.js";
import { announce, button, empty, h, icon, replace, say } from "../dom.js";
import {
  COUNTS,
  NAMES,
  TONES,
  bytes,
  canRetry,
  count,
  duration,
  isFinal,
  plural,
  rate,
  standing,
  when,
} from "../format.js";
import { loaded } from "../loading.js";
import { badge, progressBar, spinner, stat } from "../parts.js";
import { fail, removeLater } from "../toast.js";

const TABS = [
  { name: "overview", label: "Overview", load: () => import("./overview.js"), fits: () => true },
  {
    name: "results",
    label: "Results",
    load: () => import("./results.js"),
    fits: (job) => !job.parts && !["profile", "load"].includes(job.processor),
  },
  {
    name: "rejects",
    label: "Rejects",
    load: () => import("./rejects.js"),
    fits: (job) => !job.parts,
  },
  {
    name: "sentiment",
    label: "Sentiment",
    load: () => import("./sentiment.js"),
    fits: (job) => job.processor === "sentiment",
  },
  {
    name: "profile",
    label: "Profile",
    load: () => import("./profile.js"),
    fits: (job) => !job.parts,
  },
];

/** Processors whose rejects are findings, not missing rows. */
const UNCORRECTED = new Set(["profile", "mapping"]);

const SETTLE_MS = 700;

/** Whether the job has loaded rows into a table. */
const isLoaded = (job) =>
  job.processor === "load" &&
  ["completed", "completed_with_errors"].includes(job.status) &&
  !job.error &&
  !job.summary?.dry_run;

/** Formats that are stored as they were received, or nearly so. */
const READ_AGAIN = new Set(["csv", "json", "jsonl"]);
/** Whether the job reads an upload of its own: no part, no sheet of a workbook. */
const canReadAgain = (job) =>
  READ_AGAIN.has(job.format) &&
  !job.parts &&
  !job.parent_id &&
  !(job.decoding ?? []).some((each) => each.sheet);

export default function job({ id, tab }) {
  const path = `/api/v1/jobs/${encodeURIComponent(id)}`;
  let status = null;
  let parent = null; // the corrected job, for a correction
  let current = null;
  let name = tab ?? "overview";
  let stop = () => {};
  let turn = 0;
  let timer = null;
  let isOver = false;

  const title = h("h1.clip");
  const mark = badge("queued");
  const about = h("p.muted");
  const bar = progressBar("Progress");
  const stats = {
    done: stat("Done"),
    ...Object.fromEntries(
      COUNTS.map(([key, words]) => [key, stat(words[0].toUpperCase() + words.slice(1))]),
    ),
    speed: stat("Speed"),
    rest: stat("Left"),
  };
  const actions = h("div.row");
  const tabs = h("nav.tabs", { "aria-label": "Views of this job" });
  const body = h("div.tab-body");
  const proposal = h("p.note", { hidden: true });
  const back = h("a.back", { href: "#/jobs" }, icon("back"), "All jobs");
  const top = h(
    "div.job-head",
    {},
    back,
    h("div.page-head", {}, h("div.grow", {}, title, h("div.row.tight", {}, mark, about)), actions),
    bar,
    h("div.stats", {}, Object.values(stats)),
    proposal,
    tabs,
  );
  const node = h("div.page", {}, spinner());

  function head(fresh) {
    const before = status;
    status = fresh;
    say(title, fresh.filename);
    title.title = fresh.filename;
    mark.show(standing(fresh));
    say(
      about,
      [
        fresh.processor,
        fresh.format,
        bytes(fresh.size_bytes),
        `priority ${fresh.priority}`,
        when(fresh.created_at),
        ...(fresh.undo ? ["undone"] : []),
      ].join(" · "),
    );
    bar.show(fresh.progress_percent, isFinal(fresh.status) ? TONES[standing(fresh)] : "busy");
    stats.done.show(`${fresh.progress_percent} %`);
    for (const [key, , tone] of COUNTS)
      stats[key].show(
        count(fresh.counts[key]),
        fresh.counts[key] || key === "loaded" ? `${tone}-text` : "",
      );
    stats.speed.show(fresh.rows_per_second ? rate(fresh.rows_per_second) : "–");
    const seconds = fresh.started_at
      ? (Number(new Date(fresh.finished_at ?? Date.now())) - Date.parse(fresh.started_at)) / 1000
      : null;
    say(stats.rest.firstChild, isFinal(fresh.status) ? "Took" : "Left");
    stats.rest.show(
      isFinal(fresh.status)
        ? duration(seconds)
        : fresh.waiting_on
          ? `waits for ${fresh.waiting_on}`
          : duration(fresh.eta_seconds),
    );
    if (
      before?.status !== fresh.status ||
      before.counts.failed !== fresh.counts.failed ||
      Boolean(before.undo) !== Boolean(fresh.undo)
    ) {
      if (before && before.status !== fresh.status)
        announce(`${fresh.filename}: ${NAMES[standing(fresh)]}`);
      drawActions();
    }
  }

  const call = (verb, text) => () =>
    api.post(`${path}/${verb}`).then(() => (announce(text), watch()), fail);
  const again = call("retry", "The failed rows run again");

  function drawActions() {
    const final = isFinal(status.status);
    const table = h("div.row");
    if (isLoaded(status)) showTable(table);
    replace(
      actions,
      !final && button("Cancel", call("cancel", "Cancelled"), { iconName: "cancel" }),
      canRetry(status) &&
        button(`Retry ${plural(status.counts.failed, "failed row")}`, again, {
          kind: "primary",
          iconName: "retry",
        }),
      isLoaded(status) && table,
      final && canReadAgain(status) && button("Read again with …", () => openSheet({})),
      button(
        "Delete",
        () => {
          const file = `/api/v1/files/${status.file_id}`;
          removeLater(file, `${status.filename} is deleted`, {
            onundo: () => (location.hash = `#/jobs/${id}`),
          });
          location.hash = "#/jobs";
        },
        { iconName: "remove" },
      ),
    );
  }

  /** Links the table of a load, and offers to undo it. */
  async function showTable(place) {
    const undone = ({ removed, restored }) => {
      announce(`Undone: ${count(removed)} rows removed, ${count(restored)} restored`);
      watch();
    };
    try {
      const { tableLink, undoButton } = await import("./tables.js");
      const { result } = await api.get(`${path}/result`);
      replace(place, tableLink(result), !status.undo && undoButton(status, undone));
    } catch (error) {
      fail(error);
    }
  }

  const openSheet = (settings) =>
    import("../sheet.js").then(({ readAgain }) => readAgain(status, settings), fail);

  /** Proposes other settings if rows were rejected and the file looks as if it were read wrongly. */
  async function propose() {
    if (!isFinal(status.status) || !canReadAgain(status) || !status.counts.rejected) return;
    const { likelyFix } = await import("../likely_fix.js");
    const fix = await likelyFix(status);
    if (!fix || isOver) return;
    proposal.hidden = false;
    replace(
      proposal,
      `${fix.why} `,
      button(fix.label, () => openSheet(fix.settings)),
    );
  }

  function drawTabs() {
    const count = status.counts.rejected;
    replace(
      tabs,
      TABS.filter((each) => each.fits(status)).map((each) =>
        h(
          "a",
          {
            href: `#/jobs/${id}${each.name === "overview" ? "" : `/${each.name}`}`,
            "aria-current": each.name === name ? "page" : null,
          },
          each.label,
          each.name === "rejects" && count
            ? h("span.pill", {}, new Intl.NumberFormat("en", { notation: "compact" }).format(count))
            : null,
        ),
      ),
    );
  }

  async function show(next) {
    name = TABS.some((each) => each.name === next && each.fits(status)) ? next : "overview";
    drawTabs();
    tabs.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    const mine = ++turn;
    const module = await loaded(
      TABS.find((each) => each.name === name).load,
      (node) => mine === turn && replace(body, node),
      () => mine === turn && show(name),
    );
    if (!module || mine !== turn) return;
    current?.dispose?.();
    current = module.default({
      id,
      path,
      status,
      refresh,
      again,
      correctable: !parent && !UNCORRECTED.has(status.processor),
    });
    replace(body, current.node);
  }

  /** Reads the status again: a correction changes a job that has ended. */
  async function refresh() {
    const fresh = await api.get(path);
    head(fresh);
    drawTabs();
    current?.update?.(fresh);
  }

  /** Waits for the final counts: unreached rows of a cancelled job are counted after its end. */
  function settle() {
    clearTimeout(timer);
    if (!isOver && status.status === "cancelled" && !status.split_complete)
      timer = setTimeout(() => refresh().then(settle, settle), SETTLE_MS);
  }

  function showDeleted() {
    isOver = true;
    stop();
    current?.dispose?.();
    current = null;
    replace(
      node,
      empty(
        "This job was deleted",
        "Its rows and its file were deleted, too.",
        h("a.button", { href: "#/jobs" }, "To the jobs"),
      ),
    );
  }

  const look = () => api.get(path).catch((error) => error.status === 404 && showDeleted());

  /** A job that has ended only changes by its deletion. */
  function watchForDeletion() {
    stop();
    // Events are not repeated: check for a deletion while the page was hidden.
    stop = api.live(
      "/api/v1/jobs/events",
      { jobs: ({ removed }) => removed.includes(status.job_id) && showDeleted() },
      (isLive) => isLive && look(),
    );
  }

  function watch() {
    stop();
    stop = api.live(
      `/api/v1/status/${encodeURIComponent(id)}/events`,
      {
        status: (fresh) => {
          head(fresh);
          drawTabs();
          current?.update?.(fresh);
          if (isFinal(fresh.status)) {
            watchForDeletion();
            propose().catch(() => {}); // without a proposal the button still opens the sheet
          }
          settle();
        },
      },
      (isLive) => !isLive && look(),
    );
  }

  api.get(path).then(
    async (fresh) => {
      if (fresh.parent_id) {
        const above = await api
          .get(`/api/v1/jobs/${encodeURIComponent(fresh.parent_id)}`)
          .catch(() => null);
        if (above && !above.parts) parent = above;
        if (above)
          back.replaceChildren(
            icon("back"),
            parent ? `Corrects ${above.filename}` : `Part of ${above.filename}`,
          );
        if (above) back.href = `#/jobs/${above.job_id}`;
      }
      replace(node, top, body);
      head(fresh);
      show(name);
      if (isFinal(fresh.status)) {
        watchForDeletion();
        propose().catch(() => {}); // without a proposal the button still opens the sheet
      } else watch();
      settle();
    },
    (error) =>
      replace(
        node,
        empty(
          error.status === 404 ? "Job not found" : (error.title ?? "Something went wrong"),
          error.status === 404
            ? "It was deleted, or never existed."
            : `${error.message} ${error.remedy ?? ""}`,
          h("a.button", { href: "#/jobs" }, "To the jobs"),
        ),
      ),
  );

  return {
    title: "Job",
    node,
    accepts: (wanted) => {
      if (wanted.name !== "jobs" || wanted.id !== id || !status) return false;
      show(wanted.tab ?? "overview");
      return true;
    },
    dispose() {
      turn += 1;
      isOver = true;
      clearTimeout(timer);
      stop();
      current?.dispose?.();
    },
  };
}
