// One row of the list of jobs.

import * as api from "../api.js";
import { announce, button, h, replace, say, select } from "../dom.js";
import {
  TONES,
  ago,
  bytes,
  canRetry,
  count,
  duration,
  isFinal,
  percent,
  plural,
  shortName,
  standing,
  when,
} from "../format.js";
import { jobLink } from "../job_links.js";
import { t } from "../messages.js";
import { badge, progressBar } from "../parts.js";
import { progressText } from "../progress.js";
import { fail } from "../toast.js";

/** Smooths the speed of a job (speed.js); loaded with the first job that runs. */
let paced = (_before, _job, _now) => null;
let isAsked = false;
function needPace() {
  if (isAsked) return;
  isAsked = true;
  import("../speed.js").then(
    (speed) => (paced = speed.paced),
    () => (isAsked = false),
  );
}

const UNDO = { undoing: t("being undone"), undone: t("undone") };
/** What a job is to the job that it helps (`helps_as` of the service). */
const HELPS = {
  correction: (number) => t("correction of #{number}", { number }),
  profile: (number) => t("profile of #{number}", { number }),
  trial: (number) => t("trial of #{number}", { number }),
};

/** Draws a job. `does` are {select(event), isSelected(id), remove(job), filterBy(label)}. */
export function jobRow(first, does) {
  let job = first;
  let pace = null;
  const name = h("a.clip", { href: jobLink(job), title: job.filename }, shortName(job.filename));
  const number = h(
    "a.job-number.num",
    { href: jobLink(job), tabindex: -1, "aria-hidden": "true" },
    `#${job.number}`,
  );
  const box = h("input", {
    type: "checkbox",
    "aria-label": t("Select {name}", { name: job.filename }),
    onclick: (event) => does.select(job, event),
  });
  const mark = badge(standing(job));
  const about = h("span.muted.clip");
  const labels = h("span.labels");
  const bar = progressBar(t("Progress of {name}", { name: job.filename }));
  const state = h("span.muted.clip");
  const rows = h("div.job-cell");
  const rejected = h("div.job-cell");
  const size = h("div.job-cell.extra");
  const length = h("div.job-cell.extra");
  const created = h("div.job-cell.muted");
  const order = select(
    Array.from({ length: 11 }, (_, i) => [i, i]),
    job.priority,
    { "aria-label": t("Priority of {name}", { name: job.filename }) },
  );
  order.addEventListener("change", async () => {
    try {
      await api.patch(`/api/v1/jobs/${job.job_id}`, { priority: Number(order.value) });
      announce(t("Priority {priority}", { priority: order.value }));
    } catch (error) {
      order.value = job.priority;
      fail(error);
    }
  });
  const urgency = h("label.priority", {}, h("span.muted", {}, t("Priority")), order);
  const ask = (what, text) => () =>
    api.post(`/api/v1/jobs/${job.job_id}/${what}`).then(() => announce(text), fail);
  const action = (iconName, text, label, act) =>
    button(text, act, { kind: "small", iconName, "aria-label": label });
  const title = { name: job.filename };
  const cancel = action(
    "cancel",
    t("Cancel"),
    t("Cancel {name}", title),
    ask("cancel", t("Cancelled")),
  );
  const again = action(
    "retry",
    t("Retry"),
    t("Retry {name}", title),
    ask("retry", t("Runs again")),
  );
  const gone = action("remove", t("Delete"), t("Delete {name}", title), () => does.remove(job));
  const node = h(
    "article.job",
    { role: "listitem" },
    box,
    h(
      "div.job-name",
      {},
      h("div.row.tight.no-wrap", {}, number, name),
      h("div.row.tight.no-wrap", {}, about, labels),
    ),
    h("div.job-state", {}, mark, bar, state),
    rows,
    rejected,
    size,
    length,
    created,
    h("div.job-actions", {}, urgency, cancel, again, gone),
  );
  node.choose = () => (box.checked = does.isSelected(job.job_id));
  node.show = (item) => {
    node.choose();
    if (item === job && node.dataset.drawn) return;
    job = item;
    node.dataset.drawn = "yes";
    const outcome = standing(item);
    mark.show(outcome);
    say(
      about,
      [
        item.processor,
        item.parts && plural(item.parts, "part"),
        helpText(item) ?? (item.is_trial && t("a trial")),
        UNDO[item.undo_state],
      ]
        .filter(Boolean)
        .join(" · "),
    );
    replace(
      labels,
      item.labels.map((label) =>
        h(
          "button.label-chip",
          {
            type: "button",
            title: t("Show jobs with the label {label}", { label }),
            onclick: () => does.filterBy(label),
          },
          label,
        ),
      ),
    );
    bar.show(item.progress_percent, isFinal(item.status) ? TONES[outcome] : "busy");
    bar.hidden = isFinal(item.status);
    if (item.status === "processing") needPace();
    pace = paced(pace, item, Date.now() / 1000);
    say(state, progress(item, pace));
    replace(rows, loadedRows(item));
    replace(rejected, rejectedRows(item));
    rejected.classList.toggle("is-empty", !item.counts.rejected);
    say(size, bytes(item.size_bytes));
    say(length, item.duration_seconds === null ? "" : duration(item.duration_seconds));
    say(created, ago(item.created_at));
    created.title = when(item.created_at);
    if (document.activeElement !== order) order.value = item.priority;
    urgency.hidden = isFinal(item.status);
    cancel.hidden = isFinal(item.status);
    again.hidden = !canRetry(item);
  };
  return node;
}

/** Which job this one helps; null if none. */
function helpText({ helps, helps_as: as }) {
  const [kind] = as?.split(" ") ?? [];
  return HELPS[kind]?.(helps) ?? null;
}

/** What a job does now, or why it failed. */
function progress(item, pace) {
  if (isFinal(item.status)) return item.error?.message ?? item.error?.code ?? "";
  return progressText(item, pace);
}

/** Loaded rows, and those that failed or were not processed. */
function loadedRows({ counts, status }) {
  const failed = counts.failed > 0 && t("{count} failed", { count: count(counts.failed) });
  const left = isFinal(status) ? counts.not_processed : 0;
  return [
    h("span", {}, t("{count} loaded", { count: count(counts.loaded) })),
    failed && h("span.bad-text", {}, failed),
    left > 0 && h("span.off-text", {}, t("{count} not processed", { count: count(left) })),
  ];
}

/** Rejected rows with their share, which lead to the rejects. */
function rejectedRows({ counts, job_id: jobId, parts }) {
  if (!counts.rejected) return h("span.muted", { "aria-label": t("no rejects") }, "–");
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
  return [
    h(
      "a.warn-text",
      { href: `#/jobs/${jobId}${parts === null ? "/rejects" : ""}` },
      t("{count} rejected", { count: count(counts.rejected) }),
    ),
    h("span.muted", {}, percent(counts.rejected / all)),
  ];
}
