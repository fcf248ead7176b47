// The service: whether it is well, its load, its settings, its storage.

import * as api from "../api.js";
import { empty, h, icon, replace } from "../dom.js";
import { STATES, TONES, bytes, count, percent, plural, when } from "../format.js";
import { CHARTS, binned, checksOf, verdictOf } from "../load.js";
import { t } from "../messages.js";
import { bars, facts, spinner, stack } from "../parts.js";

const POLL_MS = 2000;
const HISTORY_POLL_MS = 60_000;
const HOURS = 24;
const BINS = 96;
const RECENT = 60;
const KINDS = {
  bytes: t("stored files"),
  rows: t("results"),
  rejects: t("rejects"),
  jobs: t("whole jobs"),
};

export default function system() {
  const verdict = h("div", {}, spinner());
  const charts = h("div.wide");
  const now = h("div.grid-3.wide");
  const about = h("div.grid-2.even.wide");
  const place = h("div.grid-2", {}, verdict, charts, now, about);
  verdict.className = "wide";
  let timer = null;
  let isGone = false;
  let history = null;
  let askedAt = -Infinity;
  let hasAbout = false;
  const busyness = [];

  async function load() {
    if (!document.hidden) {
      try {
        if (performance.now() - askedAt > HISTORY_POLL_MS) {
          askedAt = performance.now();
          history = await api.get(api.query("/api/v1/system/history", { hours: HOURS }));
          if (isGone) return;
          replace(charts, loadCharts(history));
        }
        const state = await api.get("/api/v1/system");
        if (isGone) return;
        busyness.push(busyOf(state));
        if (busyness.length > RECENT) busyness.shift();
        draw(state);
        if (!hasAbout) {
          hasAbout = true;
          drawAbout(about, state);
        }
      } catch (error) {
        if (isGone) return;
        askedAt = -Infinity;
        replace(
          verdict,
          empty(error.title, [error.message, error.remedy].filter(Boolean).join(" ")),
        );
      }
    }
    timer = setTimeout(load, POLL_MS);
  }

  function draw(state) {
    const checks = checksOf(state, history);
    replace(verdict, health(checks));
    replace(now, workers(state, busyness), queue(state), disk(state), jobs(state));
  }

  load();
  return {
    title: t("System"),
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, t("System"))), place),
    dispose() {
      isGone = true;
      clearTimeout(timer);
    },
  };
}

// -------------------------------------------------------------------- is it well

const STATE_ICONS = { ok: "check", warn: "warn", bad: "cancel" };

function health(checks) {
  const isBad = checks.some(({ state }) => state === "bad");
  return h(
    "section.card",
    {},
    h(`h2.verdict${isBad ? ".bad-text" : ""}`, {}, verdictOf(checks)),
    h(
      "ul.checks",
      {},
      checks.map(({ name, text, state }) =>
        h(`li.${state}`, {}, icon(STATE_ICONS[state]), h("b", {}, name), h("span.muted", {}, text)),
      ),
    ),
  );
}

// -------------------------------------------------------------------- the last 24 hours

function loadCharts(history) {
  const drawn = CHARTS.map((chart) => ({
    chart,
    values: binned(history, BINS, chart.combine(history.interval_seconds)),
  })).filter(({ values }) => values.some((value) => value !== null));
  return h(
    "section.card",
    {},
    h("h2", {}, t("The last 24 hours")),
    drawn.length
      ? h("div.charts", {}, drawn.map(smallChart))
      : h("p.muted", {}, t("The first values are here after five minutes.")),
  );
}

function smallChart({ chart, values }) {
  const known = values.filter((value) => value !== null);
  const last = chart.text(known[known.length - 1]);
  const most = chart.text(Math.max(...known));
  return h(
    "figure",
    {},
    h("figcaption", {}, h("b", {}, chart.name), h("span.muted", {}, last)),
    bars(
      values.map((value) => ({
        value: value ?? 0,
        tone: chart.tone,
        label: value === null ? t("no value") : chart.text(value),
      })),
      {
        label: t("{name}: now {last}, at most {most}", { name: chart.name, last, most }),
        height: 40,
        kind: ".low",
      },
    ),
    h("div.axis", {}, h("span", {}, t("24 h ago")), h("span", {}, t("now"))),
  );
}

// -------------------------------------------------------------------- now

/** The load of worker processes shows only in their chunks. */
const busyOf = ({ slots, workers: processes }) =>
  slots.total ? slots.busy : processes.chunks_in_work;

function workers({ slots, workers: processes }, busyness) {
  const busy = slots.total
    ? t("{busy} of {total} busy", { busy: slots.busy, total: slots.total })
    : t("{chunks} in work by {workers}", {
        chunks: plural(processes.chunks_in_work, "chunk"),
        workers: plural(processes.processes, "worker"),
      });
  return h(
    "section.card",
    {},
    h("h2", {}, t("Workers")),
    h("p.big", {}, busy),
    bars(
      Array.from({ length: RECENT }, (_, i) => {
        const value = busyness[busyness.length - RECENT + i] ?? 0;
        return { value, label: t("{count} busy", { count: value }) };
      }),
      { label: busy, height: 40, kind: ".low" },
    ),
    h("div.axis", {}, h("span", {}, t("2 min ago")), h("span", {}, t("now"))),
  );
}

function queue({ queue: { by_priority: byPriority } }) {
  const waiting = Object.entries(byPriority).reverse();
  const most = Math.max(...waiting.map(([, number]) => number));
  return h(
    "section.card",
    {},
    h("h2", {}, t("Queue by priority")),
    waiting.length
      ? h(
          "ol.top-values",
          {},
          waiting.map(([priority, number]) =>
            h(
              "li",
              {},
              h("span", {}, t("priority {priority}", { priority })),
              h("i", { "aria-hidden": "true", style: { width: `${(100 * number) / most}%` } }),
              h("b.num", {}, count(number)),
            ),
          ),
        )
      : h("p.muted", {}, t("The queue is empty.")),
  );
}

function disk({ disk: space }) {
  if (!space) return null;
  const isTight = space.free_bytes < space.must_stay_free_bytes;
  const used = space.total_bytes - space.free_bytes;
  return h(
    "section.card",
    {},
    h("h2", {}, t("Disk")),
    stack(
      [
        { name: t("used"), value: used, tone: isTight ? "bad" : "accent" },
        { name: t("free"), value: space.free_bytes, tone: "idle" },
      ],
      {
        label: t("Disk where uploads are stored"),
        text: (part) => `${bytes(part.value)} · ${percent(part.value / space.total_bytes)}`,
      },
    ),
  );
}

function jobs({ jobs: byStatus }) {
  return h(
    "section.card.wide",
    {},
    h("h2", {}, t("Jobs")),
    h(
      "ul.tiles",
      {},
      Object.entries(byStatus).map(([name, number]) =>
        h(
          "li",
          {},
          h(
            `a.${TONES[name]}`,
            { href: `#/jobs?status=${name}` },
            h("b", {}, count(number)),
            STATES[name],
          ),
        ),
      ),
    ),
  );
}

// -------------------------------------------------------------------- what rarely changes

/** Draws what rarely changes, once. Settings and rules are for administrators: others do not see
 *  these cards. */
async function drawAbout(node, state) {
  const optional = (path) => api.get(path).catch(() => null);
  replace(node, storage(state), backups(state), general(state));
  const [settings, plan] = await Promise.all([
    optional("/api/v1/system/settings"),
    optional("/api/v1/retention"),
  ]);
  replace(
    node,
    storage(state),
    backups(state),
    plan && retention(plan),
    general(state),
    settings && settingsInForce(settings),
  );
}

function storage({ storage: state }) {
  if (!state) return null;
  const { lost_files: lost, held_files: held, swept_at: swept } = state;
  return h(
    "section.card",
    {},
    h("h2", {}, t("Files that belong to nobody")),
    h(
      "p",
      {},
      lost + held
        ? t("{lost} set apart, {held} left in place.", {
            lost: plural(lost, "file"),
            held: plural(held, "file"),
          })
        : t("There are none."),
    ),
    h("p.muted", {}, swept ? t("Checked {time}.", { time: when(swept) }) : t("Not checked yet.")),
    lost + held ? howTo(t("See and sort them on the server:"), "granula storage status") : null,
  );
}

function backups({ storage: state }) {
  if (!state) return null;
  const last = state.backed_up_at;
  return h(
    "section.card",
    {},
    h("h2", {}, t("Backups")),
    h(
      "p",
      {},
      last ? t("The last one: {time}.", { time: when(last) }) : t("None has been made yet."),
    ),
    howTo(t("Make one on the server, while the service runs:"), "granula backup FOLDER"),
    h("p", {}, h("a", { href: "/guide/backup.html" }, t("How to back up and restore"))),
  );
}

const howTo = (text, command) => [h("p.muted", {}, text), h("pre", { tabindex: 0 }, command)];

function retention({ rules, due }) {
  const named = Object.entries(rules).map(([name, days]) => {
    const [kind, processor] = name.split(".").reverse();
    const kept = { what: KINDS[kind] ?? kind, days: plural(days, "day"), processor };
    return processor ? t("{what} of {processor} jobs: {days}", kept) : t("{what}: {days}", kept);
  });
  const going = Object.entries(due).filter(([, { items }]) => items.length);
  return h(
    "section.card",
    {},
    h("h2", {}, t("Retention")),
    named.length
      ? h(
          "ul.plain",
          {},
          named.map((text) => h("li", {}, text)),
        )
      : h("p", {}, t("Everything is kept until somebody deletes it.")),
    named.length
      ? h(
          "p.muted",
          {},
          going.length
            ? t("The next round deletes: {what}.", {
                what: going
                  .map(([kind, { items, is_cut: isCut, bytes: size }]) =>
                    t("{what}: {count} ({size})", {
                      what: KINDS[kind],
                      count: `${count(items.length)}${isCut ? "+" : ""}`,
                      size: bytes(size),
                    }),
                  )
                  .join("; "),
              })
            : t("The next round deletes nothing."),
        )
      : null,
  );
}

function general({ version, processors, limits }) {
  const link = (href, text) => h("a", { href }, text);
  return h(
    "section.card",
    {},
    h("h2", {}, t("About")),
    facts([
      [t("Version"), version],
      [t("Largest upload"), bytes(limits.max_upload_bytes)],
      [t("Rows per chunk"), count(limits.chunk_size)],
      [t("Retries"), count(limits.max_retries)],
      [t("Processors"), processors.join(", ")],
    ]),
    h(
      "p.row.links",
      {},
      link("/guide/", t("Manual")),
      link("/docs", t("API")),
      link("#/users", t("Users and keys")),
      link("/metrics", t("Metrics")),
    ),
  );
}

function settingsInForce({ items }) {
  const changed = items.filter(({ is_changed: isChanged }) => isChanged);
  const others = items.filter(({ is_changed: isChanged }) => !isChanged);
  return h(
    "section.card.wide",
    {},
    h("h2", {}, t("Settings in force")),
    changed.length
      ? settingsTable(changed)
      : h("p.muted", {}, t("All settings have their defaults.")),
    h(
      "details",
      {},
      h(
        "summary",
        {},
        t("{count} with their default", { count: plural(others.length, "setting") }),
      ),
      settingsTable(others),
    ),
  );
}

function settingsTable(items) {
  const head = [t("Name"), t("Value"), t("Default")];
  return h(
    "div.scroll",
    { tabindex: 0, role: "region", "aria-label": t("Settings") },
    h(
      "table.plain-table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        items.map(({ name, value, default: usual, is_hidden: isHidden }) =>
          h(
            "tr",
            {},
            h("td", {}, h("code", {}, name)),
            h("td", {}, isHidden ? h("span.muted", {}, t("set, not shown")) : value || "–"),
            h("td.muted", {}, usual || "–"),
          ),
        ),
      ),
    ),
  );
}
