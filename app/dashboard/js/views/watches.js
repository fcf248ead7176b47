// Watches: each new file of a bucket or folder becomes a job.

import * as api from "../api.js";
import { announce, field, h, replace } from "../dom.js";
import { bytes, count, when } from "../format.js";
import { t } from "../messages.js";
import { namedThings, outcomeInWords } from "../named.js";
import { fail } from "../toast.js";
import { jobFields } from "./schedules.js";

const SHOWN = 10;
const OUTCOMES = { checked: t("checked"), failed: t("failed") };
const STATES = { waiting: t("waiting"), queued: t("job started"), failed: t("failed") };

export default function watches() {
  const source = h("input", { required: true, placeholder: "s3://partners/inbox/*.csv" });
  const every = h("input", { required: true, type: "number", min: 1, max: 86400, value: 30 });
  const name = h("input", { placeholder: t("Inbox") });
  const job = jobFields("rows");

  return namedThings({
    title: t("Watches"),
    path: "/api/v1/watches",
    add: {
      label: t("Add watch"),
      source: () => source.value.trim(),
      fields: [
        field(t("Source"), source, t("A folder that ends in /, or a pattern: s3:// or file:///.")),
        field(t("Seconds between checks"), every),
        field(t("Name"), name),
        ...job.fields,
      ],
      read: () => ({
        source: source.value.trim(),
        every_seconds: Number(every.value),
        name: name.value.trim(),
        job: job.read(),
      }),
    },
    none: [t("No watches"), t("A watch starts a job for each new file of a bucket or folder.")],
    oncreated: job.redraw,
    describe: (each, path, load) => ({
      title: each.name || each.source,
      subtitle: `${each.job.type} · ${each.source}`,
      run: {
        label: t("Check now"),
        send: () => api.post(`${path}/run`).then(() => (announce(t("Checking")), load())),
      },
      isOn: !each.paused,
      turn: {
        label: each.paused ? t("Go on") : t("Pause"),
        body: { paused: !each.paused },
      },
      facts: [
        [t("Next check"), each.paused ? t("paused") : when(each.next_check_at)],
        [t("Last check"), when(each.last_checked_at)],
        [t("Outcome"), outcomeInWords(each.last_outcome, OUTCOMES)],
        [t("Jobs"), count(each.jobs)],
        [t("Waiting, failed"), `${count(each.waiting)}, ${count(each.failed)}`],
      ],
      below: latestFiles(path),
    }),
  });
}

function latestFiles(path) {
  const list = h("div");
  const show = ({ items }) =>
    replace(
      list,
      items.length ? h("ul", {}, items.map(entry)) : h("p.muted", {}, t("None was seen yet.")),
    );
  return h(
    "details",
    {
      ontoggle: (event) =>
        event.target.open && api.get(`${path}/objects?limit=${SHOWN}`).then(show, fail),
    },
    h("summary", {}, t("Latest files")),
    list,
  );
}

function entry(each) {
  const label = `${each.uri} · ${bytes(each.size_bytes)} · ${when(each.seen_at)}`;
  const state = STATES[each.status] ?? each.status;
  return h(
    "li",
    {},
    each.job_id ? h("a", { href: `#/jobs/${each.job_id}` }, label) : label,
    h("p.muted", {}, each.error ? `${state}: ${each.error.message}` : state),
  );
}
