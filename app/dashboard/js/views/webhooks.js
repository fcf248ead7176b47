// Webhooks: notifications of ended jobs, and their deliveries.

import * as api from "../api.js";
import { announce, button, field, h, replace } from "../dom.js";
import { at, duration, when } from "../format.js";
import { t } from "../messages.js";
import { namedThings } from "../named.js";
import { badge, facts, shownOnce } from "../parts.js";
import { fail } from "../toast.js";

const POLL_MS = 1500;
const PAGE = 20;
const EVENTS = [
  ["job.completed", t("completed")],
  ["job.completed_with_errors", t("completed with rejects")],
  ["job.failed", t("failed")],
  ["job.cancelled", t("cancelled")],
];
const REASONS = {
  gone: t("the receiver answered 410: it is gone"),
  switched_off: t("switched off"),
};

export default function webhooks() {
  const secret = h("div");
  const url = h("input", {
    type: "url",
    required: true,
    maxlength: 2048,
    placeholder: "https://example.com/granula",
  });
  const events = EVENTS.map(([name, label]) => ({
    name,
    node: h("input", { type: "checkbox", checked: true }),
    label,
  }));
  const logs = new Set();
  const disposeLogs = () => {
    for (const log of logs) log.dispose();
    logs.clear();
  };

  const reveal = (made) => {
    replace(
      secret,
      shownOnce(
        t("Secret for verifying the signatures"),
        made.secret,
        t("For {url}. It is shown only once.", { url: made.url }),
      ),
    );
    announce(t("The secret is shown only once"));
  };

  return namedThings({
    title: t("Webhooks"),
    path: "/api/v1/webhooks",
    add: {
      label: t("Add webhook"),
      fields: [
        field(t("URL"), url, t("A public address that begins with https://.")),
        h(
          "fieldset.field",
          {},
          h("legend.field-label", {}, t("Notify when a job is")),
          h(
            "div.checkboxes",
            {},
            events.map(({ node, label }) => h("label", {}, node, label)),
          ),
          h("span.hint", {}, t("One that ends incomplete counts as completed with rejects.")),
        ),
      ],
      read: () => ({
        url: url.value.trim(),
        events: events.filter(({ node }) => node.checked).map(({ name }) => name),
      }),
    },
    none: [t("No webhooks"), t("A webhook gets a signed message when a job ends.")],
    oncreated: reveal,
    onredraw: disposeLogs,
    place: secret,
    dispose: disposeLogs,
    describe(each, path, load) {
      const log = deliveries(path, each.url);
      logs.add(log);
      const state = each.enabled
        ? h("span.badge.ok", {}, t("on"))
        : h("span.badge.off", {}, REASONS[each.disabled_reason] ?? t("off"));
      const told = EVENTS.filter(([name]) => each.events.includes(name))
        .map(([, label]) => label)
        .join(", ");
      const renew = () => api.post(`${path}/rotate`).then((made) => (reveal(made), load()), fail);
      return {
        title: each.url,
        subtitle: h("div.row.tight", {}, state, h("span.muted", {}, told)),
        run: {
          label: t("Send a test"),
          isOff: !each.enabled,
          send: () =>
            api.post(`${path}/test`).then(() => {
              announce(t("A test message is sent"));
              log.open();
            }),
        },
        isOn: each.enabled,
        turn: {
          label: each.enabled ? t("Switch off") : t("Switch on"),
          body: { enabled: !each.enabled },
        },
        more: [button(t("New secret"), renew, { iconName: "lock" })],
        below: [
          each.old_secret_until &&
            h(
              "p.muted",
              {},
              t("Messages are also signed with the previous secret until {time}.", {
                time: when(each.old_secret_until),
              }),
            ),
          log.node,
        ],
      };
    },
  });
}

// -------------------------------------------------------------------- the delivery log

function deliveries(path, url) {
  const list = h("ul.deliveries");
  const older = button(t("Older messages"), () => load(true), { kind: "quiet", hidden: true });
  const node = h(
    "details",
    { ontoggle: () => (node.open ? load() : clearTimeout(timer)) },
    h("summary", {}, t("Delivery log")),
    list,
    older,
  );
  const opened = new Set();
  let items = [];
  let before = null;
  let timer = null;

  async function load(isMore = false) {
    clearTimeout(timer);
    try {
      const page = await api.get(
        api.query(`${path}/deliveries`, { limit: PAGE, before: isMore ? before : null }),
      );
      if (!node.isConnected) return;
      if (isMore || items.length <= PAGE) before = page.next_before;
      const fresh = new Map(page.items.map((each) => [each.id, each]));
      items = isMore
        ? [...items, ...page.items]
        : [
            ...page.items,
            ...items.filter((each) => !fresh.has(each.id) && page.items.length === PAGE),
          ];
      draw();
      if (node.open && items.some((each) => each.status === "pending"))
        timer = setTimeout(load, POLL_MS);
    } catch (error) {
      fail(error);
    }
  }

  function draw() {
    older.hidden = before === null;
    const focused = list.querySelector("[data-id]:focus-within")?.dataset.id;
    replace(
      list,
      items.length ? items.map(entry) : h("li.muted", {}, t("Nothing has been sent yet.")),
    );
    if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"] summary`)?.focus();
  }

  function entry(each) {
    const last = each.attempts[each.attempts.length - 1];
    const answer = last
      ? last.status_code
        ? t("answer {status}", { status: last.status_code })
        : last.error?.replaceAll("_", " ")
      : t("not tried yet");
    return h(
      "li",
      { "data-id": each.id },
      h(
        "details",
        {
          open: opened.has(each.id),
          ontoggle: (event) => (event.target.open ? opened.add(each.id) : opened.delete(each.id)),
        },
        h(
          "summary",
          {},
          badge(each.status),
          h("b.clip", {}, each.event),
          h("span.muted", {}, `${answer} · ${when(each.created_at)}`),
        ),
        facts([
          ["webhook-id", h("code.clip", { title: each.id }, each.id)],
          each.job_id && [t("Job"), h("a", { href: `#/jobs/${each.job_id}` }, t("show"))],
          each.next_attempt_at && [t("Next attempt"), when(each.next_attempt_at)],
        ]),
        each.attempts.length > 0 &&
          h(
            "ol.timeline",
            { "aria-label": t("Attempts") },
            each.attempts.map((one) =>
              h(
                `li.${one.status_code >= 200 && one.status_code < 300 ? "ok" : "bad"}`,
                {},
                h("time", { datetime: one.at, title: when(one.at) }, at(one.at)),
                h(
                  "span",
                  {},
                  t("{answer} after {time}", {
                    answer: one.status_code ?? one.error?.replaceAll("_", " "),
                    time: duration((one.duration_ms ?? 0) / 1000),
                  }),
                ),
              ),
            ),
          ),
        h("pre", { tabindex: 0, "aria-label": t("The message") }, each.body),
        button(
          t("Send again"),
          () =>
            api
              .post(`${path}/deliveries/${encodeURIComponent(each.id)}/replay`)
              .then(() => (announce(t("Sent to {url} again", { url })), load()), fail),
          { iconName: "retry" },
        ),
      ),
    );
  }

  return {
    node,
    open() {
      if (node.open) load();
      else node.open = true;
    },
    dispose: () => clearTimeout(timer),
  };
}
