// Webhooks: notifications of ended jobs, and their deliveries.

import * as api from "../api.js";
import { announce, button, empty, field, h, iconButton, replace } from "../dom.js";
import { at, duration, when } from "../format.js";
import { badge, facts, shownOnce, spinner } from "../parts.js";
import { fail, removeLater } from "../toast.js";

const POLL_MS = 1500;
const PAGE = 20;
const EVENTS = [
  ["job.completed", "completed"],
  ["job.completed_with_errors", "completed with rejects"],
  ["job.failed", "failed"],
  ["job.cancelled", "cancelled"],
];
const REASONS = { gone: "the receiver answered 410: it is gone", switched_off: "switched off" };

export default function webhooks() {
  const place = h("div", {}, spinner());
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
  const cards = new Map();
  const form = h(
    "form.card.form",
    { onsubmit: create },
    field("URL", url, "https, at a public address; the service says if it takes others."),
    h(
      "fieldset.field",
      {},
      h("legend.field-label", {}, "Notify when a job is"),
      h(
        "div.checkboxes",
        {},
        events.map(({ node, label }) => h("label", {}, node, label)),
      ),
      h("span.hint", {}, "One that ends incomplete counts as completed with rejects."),
    ),
    h("div.form-end", {}, button("Add webhook", null, { kind: "primary", type: "submit" })),
  );

  async function create(event) {
    event.preventDefault();
    try {
      const made = await api.post("/api/v1/webhooks", {
        url: url.value.trim(),
        events: events.filter(({ node }) => node.checked).map(({ name }) => name),
      });
      form.reset();
      reveal(made);
      load();
    } catch (error) {
      fail(error);
    }
  }

  const reveal = (made) => {
    replace(
      secret,
      shownOnce(
        "Secret for verifying the signatures",
        made.secret,
        `For ${made.url}. It is shown only once.`,
      ),
    );
    announce("The secret is shown only once");
  };

  const load = api.latest(
    () => api.get("/api/v1/webhooks"),
    ({ items }) => {
      cards.forEach((each) => each.dispose());
      cards.clear();
      replace(
        place,
        items.length
          ? h("ul.cards", {}, items.map(card))
          : empty("No webhooks", "A webhook gets a signed message when a job ends."),
      );
    },
    (error) =>
      replace(
        place,
        empty(error.title, `${error.message} ${error.remedy}`, button("Try again", load)),
      ),
  );

  function card(each) {
    const path = `/api/v1/webhooks/${each.id}`;
    const log = deliveries(path, each.url);
    cards.set(each.id, log);
    const state = each.enabled
      ? h("span.badge.ok", {}, "on")
      : h("span.badge.off", {}, REASONS[each.disabled_reason] ?? "off");
    const told = EVENTS.filter(([name]) => each.events.includes(name))
      .map(([, label]) => label)
      .join(", ");
    const act = (call, text) => () => call().then((answer) => (announce(text), answer), fail);
    return h(
      "li.card",
      { "aria-label": each.url },
      h(
        "div.row.between",
        {},
        h(
          "div.clip",
          {},
          h("h2.clip", { title: each.url }, each.url),
          h("div.row.tight", {}, state, h("span.muted", {}, told)),
        ),
        h(
          "div.row",
          {},
          button(
            "Send a test",
            act(() => api.post(`${path}/test`).then(() => log.open()), "A test message is sent"),
            { iconName: "play", disabled: !each.enabled },
          ),
          button(
            each.enabled ? "Switch off" : "Switch on",
            act(() => api.patch(path, { enabled: !each.enabled }).then(load), "Changed"),
            { iconName: each.enabled ? "pause" : "play" },
          ),
          button(
            "New secret",
            act(
              () => api.post(`${path}/rotate`).then((made) => (reveal(made), load())),
              "A new secret",
            ),
            { iconName: "lock" },
          ),
          iconButton("remove", `Delete ${each.url}`, (event) => {
            event.target.closest("li").hidden = true;
            removeLater(path, "The webhook is deleted", { onundo: load });
          }),
        ),
      ),
      each.old_secret_until &&
        h(
          "p.muted",
          {},
          `Messages are also signed with the previous secret until ${when(each.old_secret_until)}.`,
        ),
      log.node,
    );
  }

  load();
  return {
    title: "Webhooks",
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, "Webhooks")), form, secret, place),
    dispose: () => cards.forEach((each) => each.dispose()),
  };
}

// -------------------------------------------------------------------- the delivery log

function deliveries(path, url) {
  const list = h("ul.deliveries");
  const older = button("Older messages", () => load(true), { kind: "quiet", hidden: true });
  const node = h(
    "details",
    { ontoggle: () => (node.open ? load() : clearTimeout(timer)) },
    h("summary", {}, "Delivery log"),
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
      items.length ? items.map(entry) : h("li.muted", {}, "Nothing has been sent yet."),
    );
    if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"] summary`)?.focus();
  }

  function entry(each) {
    const last = each.attempts[each.attempts.length - 1];
    const answer = last
      ? last.status_code
        ? `answer ${last.status_code}`
        : last.error?.replaceAll("_", " ")
      : "not tried yet";
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
          each.job_id && ["Job", h("a", { href: `#/jobs/${each.job_id}` }, "show")],
          each.next_attempt_at && ["Next attempt", when(each.next_attempt_at)],
        ]),
        each.attempts.length > 0 &&
          h(
            "ol.timeline",
            { "aria-label": "Attempts" },
            each.attempts.map((one) =>
              h(
                `li.${one.status_code >= 200 && one.status_code < 300 ? "ok" : "bad"}`,
                {},
                h("time", { datetime: one.at, title: when(one.at) }, at(one.at)),
                h(
                  "span",
                  {},
                  `${one.status_code ?? one.error?.replaceAll("_", " ")} after ${duration((one.duration_ms ?? 0) / 1000)}`,
                ),
              ),
            ),
          ),
        h("pre", { tabindex: 0, "aria-label": "The message" }, each.body),
        button(
          "Send again",
          () =>
            api
              .post(`${path}/deliveries/${encodeURIComponent(each.id)}/replay`)
              .then(() => (announce(`Sent to ${url} again`), load()), fail),
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
