// State of the service: health, load and free space.

import * as api from "../api.js";
import { empty, h, icon, replace } from "../dom.js";
import { STATES, TONES, bytes, count, percent, plural } from "../format.js";
import { bars, facts, spinner, stack } from "../parts.js";

const POLL_MS = 2000;

export default function system() {
  const place = h("div.grid-2", {}, spinner());
  let timer = null;
  let isGone = false;
  const history = [];

  async function load() {
    if (!document.hidden) {
      try {
        const about = await api.get("/api/v1/system");
        if (isGone) return;
        history.push(busyOf(about));
        if (history.length > 60) history.shift();
        draw(about);
      } catch (error) {
        if (isGone) return;
        replace(place, empty(error.title, `${error.message} ${error.remedy}`));
      }
    }
    timer = setTimeout(load, POLL_MS);
  }

  const check = (name, text) =>
    h(
      `li.${text === "ok" ? "ok" : "bad"}`,
      {},
      icon(text === "ok" ? "check" : "warn"),
      h("b", {}, name),
      h("span.muted", {}, text),
    );

  /** The load of worker processes shows only in their chunks. */
  const busyOf = ({ slots, workers }) => (slots.total ? slots.busy : workers.chunks_in_work);

  function draw({ version, database, disk, queue, slots, workers, jobs, processors, limits }) {
    const busy = slots.total
      ? `${slots.busy} of ${slots.total} busy`
      : `${count(workers.chunks_in_work)} chunks in work by ${plural(workers.processes, "worker")}`;
    const isTight = disk && disk.free_bytes < disk.must_stay_free_bytes;
    const waiting = Object.entries(queue.by_priority);
    replace(
      place,
      h(
        "section.card",
        {},
        h("h2", {}, "Is it well?"),
        h(
          "ul.checks",
          {},
          check(
            `Database (${database.kind === "sqlite" ? "SQLite" : "PostgreSQL"})`,
            database.status,
          ),
          check("Queue and workers", queue.status),
          disk && check("Disk", isTight ? "Uploads are refused: free some space." : "ok"),
        ),
      ),
      h(
        "section.card",
        {},
        h("h2", {}, "Workers"),
        h("p.big", {}, busy),
        bars(
          Array.from({ length: 60 }, (_, i) => ({
            value: history[history.length - 60 + i] ?? 0,
            label: `${history[history.length - 60 + i] ?? 0} busy`,
          })),
          { label: busy, height: 40, kind: ".low" },
        ),
        h("div.axis", {}, h("span", {}, "2 min ago"), h("span", {}, "now")),
      ),
      h(
        "section.card",
        {},
        h("h2", {}, "Queue by priority"),
        waiting.length
          ? h(
              "ol.top-values",
              {},
              waiting.reverse().map(([priority, number]) =>
                h(
                  "li",
                  {},
                  h("span", {}, `priority ${priority}`),
                  h("i", {
                    "aria-hidden": "true",
                    style: {
                      width: `${(100 * number) / Math.max(...waiting.map(([, n]) => n))}%`,
                    },
                  }),
                  h("b.num", {}, count(number)),
                ),
              ),
            )
          : h("p.muted", {}, "The queue is empty."),
      ),
      disk &&
        h(
          "section.card",
          {},
          h("h2", {}, "Disk"),
          stack(
            [
              {
                name: "used",
                value: disk.total_bytes - disk.free_bytes,
                tone: isTight ? "bad" : "accent",
              },
              { name: "free", value: disk.free_bytes, tone: "idle" },
            ],
            {
              label: "Disk where uploads are stored",
              text: (part) => `${bytes(part.value)} · ${percent(part.value / disk.total_bytes)}`,
            },
          ),
        ),
      h(
        "section.card.wide",
        {},
        h("h2", {}, "Jobs"),
        h(
          "ul.tiles",
          {},
          Object.entries(jobs).map(([name, number]) =>
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
      ),
      h(
        "section.card.wide",
        {},
        h("h2", {}, "About"),
        facts([
          ["Version", version],
          ["Processors", processors.join(", ")],
          ["Largest upload", bytes(limits.max_upload_bytes)],
          ["Rows per chunk", count(limits.chunk_size)],
          ["Retries", count(limits.max_retries)],
          [
            "More",
            h(
              "span",
              {},
              h("a", { href: "/docs" }, "API"),
              " · ",
              h("a", { href: "#/users" }, "Users and keys"),
              " · ",
              h("a", { href: "/metrics" }, "Prometheus"),
              " · ",
              h("a", { href: "/ready" }, "readiness"),
            ),
          ],
        ]),
      ),
    );
  }

  load();
  return {
    title: "System",
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, "System")), place),
    dispose() {
      isGone = true;
      clearTimeout(timer);
    },
  };
}
