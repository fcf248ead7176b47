// One job: a permanent head, and tabs that are separate modules.

import * as api from "../api.js";
import { announce, button, empty, h, icon, replace, say } from "../dom.js";
import { downloadsOf } from "../downloads.js";
import {
  NAMES,
  TONES,
  canRetry,
  count,
  duration,
  isFinal,
  plural,
  standing,
  when,
} from "../format.js";
import { jobLink } from "../job_links.js";
import { loaded } from "../loading.js";
import { menu } from "../menu.js";
import { locale, t } from "../messages.js";
import { canReadAgain, isCorrectable, isLoaded, isTrial, nextStep } from "../next_step.js";
import { countsRow, proofsOf } from "../outcome.js";
import { badge, progressBar, spinner } from "../parts.js";
import { progressText } from "../progress.js";
import { paced } from "../speed.js";
import { fail, removeLater, toast } from "../toast.js";

const TABS = [
  { name: "summary", label: t("Summary"), load: () => import("./summary.js"), fits: () => true },
  { name: "engine", label: t("Engine"), load: () => import("./engine.js"), fits: () => true },
  {
    name: "results",
    label: t("Results"),
    load: () => import("./results.js"),
    fits: (job) => !job.parts && !["profile", "load"].includes(job.processor),
  },
  {
    name: "rejects",
    label: t("Rejects"),
    load: () => import("./rejects.js"),
    fits: (job) => !job.parts,
  },
  {
    name: "sentiment",
    label: t("Sentiment"),
    load: () => import("./sentiment.js"),
    fits: (job) => job.processor === "sentiment",
  },
  {
    name: "profile",
    label: t("Profile"),
    load: () => import("./profile.js"),
    fits: (job) => !job.parts,
  },
];
/** Tabs that a next step opens; there it is already taken. */
const STEP_TABS = { fix: "rejects", see_rejects: "rejects", see_profile: "profile" };
const SETTLE_MS = 700;
/** How often a job that has ended is read again. */
const LOOK_MS = 10_000;
const compact = new Intl.NumberFormat(locale, { notation: "compact" });

export default function job({ id: wanted, tab, params }) {
  let id = wanted;
  let path = "";
  let proofs = null;
  let status = null;
  let parent = null; // the corrected job, for a correction
  let current = null;
  let name = tab ?? "summary";
  let query = params;
  let pace = null;
  let stop = () => {};
  let turn = 0;
  let timer = null;
  let isOver = false;
  let isProposed = false; // the summary proposes to read the file again, which comes first

  const title = h("h1.clip");
  const mark = badge("queued");
  const about = h("p.muted");
  const labels = h("div.row.tight.job-labels");
  const bar = progressBar(t("Progress"));
  const progress = h("p.muted.num");
  const counts = countsRow();
  const actions = h("div.row.job-buttons", { role: "group", "aria-label": t("Actions") });
  const tabs = h("nav.tabs", { "aria-label": t("Views of this job") });
  const body = h("div.tab-body");
  const back = h("a.back", { href: "#/jobs" }, icon("back"), t("All jobs"));
  const top = h(
    "div.job-head",
    {},
    back,
    h(
      "div.page-head",
      {},
      h("div.grow", {}, title, h("div.row.tight", {}, mark, about), labels),
      actions,
    ),
    bar,
    progress,
    counts,
    tabs,
  );
  const node = h("div.page", {}, spinner());

  // ---------------------------------------------------------------- the head

  function head(fresh) {
    const before = status;
    status = fresh;
    pace = paced(pace, fresh, Date.now() / 1000);
    document.title = `#${fresh.number} ${fresh.filename} · Granula`;
    if (title.title !== fresh.filename) {
      replace(title, h("span.muted", {}, `#${fresh.number} `), fresh.filename);
      title.title = fresh.filename;
    }
    mark.show(standing(fresh));
    say(
      about,
      [
        fresh.processor,
        when(fresh.created_at),
        isFinal(fresh.status) && fresh.started_at && t("took {time}", { time: took(fresh) }),
        fresh.undo?.state === "undone" && t("undone"),
        isTrial(fresh) && t("a trial"),
      ]
        .filter(Boolean)
        .join(" · "),
    );
    if (String(before?.labels) !== String(fresh.labels)) drawLabels();
    bar.hidden = progress.hidden = isFinal(fresh.status);
    bar.show(fresh.progress_percent, isFinal(fresh.status) ? TONES[standing(fresh)] : "busy");
    say(progress, isFinal(fresh.status) ? "" : progressText(fresh, pace));
    counts.show(fresh);
    if (before && before.status !== fresh.status)
      announce(`${fresh.filename}: ${NAMES[standing(fresh)]}`);
    if (before && buttonsKey(before) !== buttonsKey(fresh)) drawActions();
  }

  function drawLabels() {
    replace(
      labels,
      status.labels.map((label) =>
        h(
          "a.pill",
          { href: api.query("#/jobs", { label }), title: t("Jobs with this label") },
          label,
        ),
      ),
    );
  }

  const took = ({ started_at: from, finished_at: to }) =>
    duration((Date.parse(to) - Date.parse(from)) / 1000);

  /** The buttons are drawn again only if they change, since one of them may have the focus. */
  const buttonsKey = (job) =>
    JSON.stringify([
      job.status,
      Boolean(job.undo),
      job.counts.failed,
      job.counts.rejected,
      isFinal(job.status) ? job.counts.loaded : job.counts.loaded > 0,
    ]);

  // ---------------------------------------------------------------- actions

  const call = (verb, text) => () =>
    api.post(`${path}/${verb}`).then(() => (announce(text), watch()), fail);
  const again = call("retry", t("The failed rows run again"));
  const openSheet = (settings) =>
    import("../sheet.js").then(({ readAgain }) => readAgain(status, settings), fail);
  const start = (verb, body, follow) => () => api.post(verb, body).then(follow, fail);

  function drawActions() {
    const isEnded = isFinal(status.status);
    const next = nextStep(status, Boolean(parent));
    const step = STEP_TABS[next] === name ? null : next;
    const files = downloadsOf(status, Boolean(parent));
    const table = h("div.row");
    if (isLoaded(status)) showTable(table, step === "open_table");
    replace(
      actions,
      !isEnded && button(t("Cancel"), call("cancel", t("Cancelled")), { iconName: "cancel" }),
      primary(step, files),
      isLoaded(status) && table,
      files.length > 0 &&
        menu(
          t("Download as"),
          files.map(({ label, href }) => h("a", { href, download: true }, label)),
          { "data-menu": "download" },
        ),
      menu(t("More"), more(step), { "data-menu": "more" }),
    );
  }

  /** The one button for the next step. */
  function primary(step, files) {
    const { rejected, failed } = status.counts;
    const main = (label, href, props) =>
      h(`a.button${isProposed ? "" : ".primary"}`, { href, ...props }, label);
    if (step === "retry")
      return button(t("Retry {rows}", { rows: plural(failed, "failed row") }), again, {
        kind: "primary",
        iconName: "retry",
      });
    if (step === "run_again")
      return button(t("Run again"), () => openSheet({}), { kind: "primary", iconName: "retry" });
    if (step === "fix")
      return main(t("Fix {rejects}", { rejects: plural(rejected, "reject") }), link("rejects"));
    if (step === "see_rejects")
      return main(t("See {rejects}", { rejects: plural(rejected, "reject") }), link("rejects"));
    if (step === "see_profile") return main(t("Open profile"), link("profile"));
    if (step === "see_mapping")
      return main(t("Open mapping"), `#/mapping/${encodeURIComponent(status.job_id)}`);
    if (step === "download" && files.length)
      return main(t("Download CSV"), files[0].href, { download: true });
    return null;
  }

  const link = (tabName) => jobLink(status, tabName);

  /** What else may be done; the most final thing comes last. */
  function more(step) {
    const item = (label, onclick) => h("button", { type: "button", onclick }, label);
    const isEnded = isFinal(status.status);
    const file = { file_id: status.file_id };
    const hasFile = isEnded && !status.parts && !status.parent_id;
    return [
      step !== "retry" && canRetry(status) && item(t("Retry failed rows"), again),
      isEnded && canReadAgain(status) && item(t("Read again with …"), () => openSheet({})),
      hasFile &&
        status.processor !== "profile" &&
        item(
          t("Analyse"),
          start("/api/v1/jobs/analyze", file, () => (location.hash = link("profile"))),
        ),
      hasFile &&
        status.processor !== "mapping" &&
        h("a", { href: api.query("#/mapping", { input: status.file_id }) }, t("Map columns")),
      hasFile &&
        status.processor !== "load" &&
        h("a", { href: api.query("#/tables", { file: status.file_id }) }, t("Load into a table")),
      item(t("Copy link"), copyLink),
      item(t("Delete"), remove),
    ];
  }

  async function copyLink() {
    const address = new URL(link(name === "summary" ? "" : name), location.href).href;
    try {
      await navigator.clipboard.writeText(address);
      toast(t("The link is copied"));
    } catch {
      toast(t("The link of this job"), { detail: address, ms: 12000 });
    }
  }

  function remove() {
    const back = link();
    removeLater(
      `/api/v1/files/${status.file_id}`,
      t("{name} is deleted", { name: status.filename }),
      { onundo: () => (location.hash = back) },
    );
    location.hash = "#/jobs";
  }

  /** Links the table of a load, and offers to undo it. */
  async function showTable(place, isPrimary) {
    const undone = ({ removed, restored }) => {
      announce(
        t("Undone: {removed} rows removed, {restored} restored", {
          removed: count(removed),
          restored: count(restored),
        }),
      );
      watch();
    };
    try {
      const { tableLink, undoButton } = await import("./tables.js");
      const { result } = await api.get(`${path}/result`);
      const open = tableLink(result);
      open.classList.toggle("primary", isPrimary);
      replace(place, open, !status.undo && undoButton(status, undone));
    } catch (error) {
      fail(error);
    }
  }

  // ---------------------------------------------------------------- tabs

  /** The tabs are drawn again only if they change, since one of them may have the focus. */
  function drawTabs() {
    const { rejected } = status.counts;
    const drawn = `${name} ${rejected}`;
    if (tabs.dataset.drawn === drawn) return;
    tabs.dataset.drawn = drawn;
    replace(
      tabs,
      TABS.filter((each) => each.fits(status)).map((each) =>
        h(
          "a",
          {
            href: link(each.name),
            "aria-current": each.name === name ? "page" : null,
          },
          each.label,
          each.name === "rejects" && rejected ? h("span.pill", {}, compact.format(rejected)) : null,
        ),
      ),
    );
  }

  /** Makes the proposal of the summary the next step, or no longer. */
  function propose(isShown) {
    if (isProposed === isShown) return;
    isProposed = isShown;
    drawActions();
  }

  async function show(next) {
    name = TABS.some((each) => each.name === next && each.fits(status)) ? next : "summary";
    top.classList.toggle("is-summary", name === "summary");
    isProposed = false;
    drawActions();
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
      params: query,
      status,
      refresh,
      again,
      proofs,
      openSheet,
      propose,
      correctable: isCorrectable(status, Boolean(parent)),
    });
    replace(body, current.node);
  }

  // ---------------------------------------------------------------- following the job

  function take(fresh) {
    head(fresh);
    drawTabs();
    current?.update?.(fresh);
  }

  /** Reads the status again: a correction changes a job that has ended. */
  async function refresh() {
    take(await api.get(path));
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
        t("This job was deleted"),
        t("Its rows and its file were deleted, too."),
        h("a.button", { href: "#/jobs" }, t("To the jobs")),
      ),
    );
  }

  /** Reads the job again: it may have been deleted while nothing was heard of it. */
  async function look() {
    try {
      return await api.get(path);
    } catch (error) {
      if (error.status === 404) showDeleted();
      return null;
    }
  }

  /** A job that has ended changes by a retry, a correction, an undo or its deletion, also in another
   *  tab. Events tell of the newest jobs; of others only reading them does. */
  function watchForChanges() {
    stop();
    const compare = async () => {
      const fresh = await look();
      if (!fresh || isOver || !isFinal(status.status)) return;
      if (!isFinal(fresh.status)) watch();
      else if (JSON.stringify(fresh) !== JSON.stringify(status)) take(fresh);
    };
    const close = api.live(
      "/api/v1/jobs/events",
      {
        jobs: ({ items, removed }) => {
          if (removed.includes(id)) showDeleted();
          else if (items.some((each) => each.job_id === id)) compare();
        },
      },
      // Events are not repeated: there may have been some while the page was hidden.
      (isLive) => isLive && compare(),
    );
    const ticks = setInterval(() => document.hidden || compare(), LOOK_MS);
    stop = () => {
      clearInterval(ticks);
      close();
    };
  }

  function watch() {
    stop();
    stop = api.live(
      `/api/v1/status/${encodeURIComponent(id)}/events`,
      {
        status: (fresh) => {
          take(fresh);
          if (isFinal(fresh.status)) watchForChanges();
          settle();
        },
      },
      (isLive) => !isLive && look(),
    );
  }

  async function open(fresh) {
    id = fresh.job_id;
    path = `/api/v1/jobs/${encodeURIComponent(id)}`;
    proofs = proofsOf(path);
    if (fresh.parent_id) {
      const above = await api
        .get(`/api/v1/jobs/${encodeURIComponent(fresh.parent_id)}`)
        .catch(() => null);
      if (isOver) return;
      if (above && !above.parts) parent = above;
      if (above) {
        const values = { name: above.filename };
        const label = parent ? t("Corrects {name}", values) : t("Part of {name}", values);
        replace(back, icon("back"), label);
        back.href = jobLink(above);
      }
    }
    if (isOver) return;
    replace(node, top, body);
    head(fresh);
    show(name);
    if (isFinal(fresh.status)) watchForChanges();
    else watch();
    settle();
    // The address with the number can be read and said; the one with the id keeps working.
    const rest = String(query ?? "");
    const address = `${link(name)}${rest ? `?${rest}` : ""}`;
    if (wanted !== String(fresh.number)) history.replaceState(history.state, "", address);
  }

  // The service takes a number as well as an id.
  api
    .get(`/api/v1/jobs/${encodeURIComponent(wanted)}`)
    .then(open, (error) =>
      replace(
        node,
        empty(
          error.status === 404 ? t("Job not found") : (error.title ?? t("Something went wrong")),
          error.status === 404
            ? t("It was deleted, or never existed.")
            : `${error.message} ${error.remedy ?? ""}`,
          h("a.button", { href: "#/jobs" }, t("To the jobs")),
        ),
      ),
    );

  return {
    title: t("Job"),
    node,
    accepts: (next) => {
      const isThis = status && [wanted, id, String(status.number)].includes(next.id);
      if (next.name !== "jobs" || !isThis) return false;
      query = next.params;
      show(next.tab ?? "summary");
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
