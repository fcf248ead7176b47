// The overview of a job: the map of its chunks, speed, bottleneck, proof, and timeline.

import * as api from "../api.js";
import { button, h, icon, replace, say, svg } from "../dom.js";
import {
  COUNTS,
  NAMES,
  TONES as STATE_TONES,
  at,
  count,
  duration,
  isFinal,
  missing,
  percent,
  plural,
  rate,
  standing,
  when,
} from "../format.js";
import { badge, facts, stack } from "../parts.js";

const MAX_CELLS = 1500;
const AUTO_PROOF_ROWS = 3_000_000;
const MAX_INCIDENTS = 50;
const CHUNK_STATES = ["completed", "processing", "waiting", "pending", "failed", "cancelled"];
const KINDS = {
  wait: "Waiting for a free core",
  read: "Reading and parsing",
  process: "Processing",
  write: "Database",
};
const TONES = { wait: "idle", read: "busy", process: "accent", write: "warn" };

/** A chunk that waits for a retry is shown as waiting. */
const stateOf = (chunk) =>
  chunk.status === "pending" && (chunk.attempt > 0 || chunk.error) ? "waiting" : chunk.status;

export default function overview({ path, status: first }) {
  let status = first;
  let chunks = [];
  let timer = null;
  let isGone = false;
  const map = chunkMap();
  const speed = h("section.card", {});
  const limits = h("section.card", {});
  const proof = proofBar(path);
  const timeline = h("section.card", {});
  const node = h(
    "div.grid-2",
    {},
    proof.node,
    status.parts ? parts(status) : map.node,
    speed,
    limits,
    timeline,
    details(),
  );

  function details() {
    const { dialect } = status;
    return h(
      "section.card",
      {},
      h("h2", {}, "The file"),
      facts([
        ["Rows", count(status.rows.total)],
        ["Chunks", count(status.total_chunks)],
        dialect.encoding && ["Encoding", dialect.encoding],
        dialect.delimiter && ["Delimiter", dialect.delimiter === "\t" ? "tab" : dialect.delimiter],
        ["Columns", count(status.columns.length)],
        status.sha256 && [
          "SHA-256",
          h("code.clip", { title: status.sha256 }, `${status.sha256.slice(0, 16)}…`),
        ],
        ["Job", h("code.clip", { title: status.job_id }, status.job_id)],
      ]),
    );
  }

  async function load() {
    if (status.parts) return;
    const found = [];
    let after = -1;
    try {
      do {
        const page = await api.get(api.query(`${path}/chunks`, { limit: 10_000, after }));
        found.push(...page.items);
        after = page.next_after;
      } while (after !== null && !isGone);
    } catch {
      return;
    }
    if (isGone) return;
    chunks = found;
    map.show(chunks);
    drawSpeed(speed, chunks, status);
    drawLimits(limits, chunks, status);
    drawTimeline(timeline, chunks, status);
  }

  function later() {
    // A large map is read less often, since it costs more.
    timer ??= setTimeout(() => ((timer = null), load()), chunks.length > 2000 ? 3000 : 500);
  }

  proof.show(status);
  load();
  return {
    node,
    update(fresh) {
      const wasFinal = isFinal(status.status);
      status = fresh;
      proof.show(fresh);
      later();
      if (isFinal(fresh.status) && !wasFinal) node.lastChild.replaceWith(details());
    },
    dispose() {
      isGone = true;
      clearTimeout(timer);
    },
  };
}

// -------------------------------------------------------------------- the map

function chunkMap() {
  const grid = svg("svg.map", { "aria-hidden": "true" });
  const text = h("p.muted", {}, "Arrow keys move through the chunks.");
  const box = h(
    "div.map-box",
    {
      role: "slider",
      tabindex: 0,
      "aria-label": "Chunk",
      "aria-valuemin": 0,
      "aria-valuemax": 0,
      "aria-valuenow": 0,
    },
    grid,
  );
  const legend = h("ul.legend");
  const node = h("section.card", {}, h("h2", {}, "Map of the chunks"), box, legend, text);
  let chunks = [];
  let each = 1;
  let chosen = 0;
  let wide = 1;

  const told = (index) => {
    const chunk = chunks[Math.min(chunks.length - 1, index * each)];
    if (!chunk) return "";
    const rows = `rows ${count(chunk.first_row)} to ${count(chunk.first_row + chunk.row_count - 1)}`;
    const more = [
      chunk.attempt > 1 && `attempt ${chunk.attempt}`,
      chunk.rows_invalid && plural(chunk.rows_invalid, "reject"),
      chunk.error?.message,
    ];
    return [
      `Chunk ${count(chunk.chunk_index)}${each > 1 ? ` (a cell is ${each} chunks)` : ""}`,
      stateOf(chunk),
      rows,
      ...more,
    ]
      .filter(Boolean)
      .join(" · ");
  };
  const choose = (index) => {
    chosen = Math.max(0, Math.min(index, Math.ceil(chunks.length / each) - 1));
    for (const cell of grid.querySelectorAll(".chosen")) cell.classList.remove("chosen");
    grid.children[chosen]?.classList.add("chosen");
    say(text, told(chosen));
    box.setAttribute("aria-valuenow", chosen);
    box.setAttribute("aria-valuetext", told(chosen));
  };
  box.addEventListener("keydown", (event) => {
    const step = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: wide,
      ArrowUp: -wide,
      Home: -Infinity,
      End: Infinity,
    }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(chosen + step);
  });
  grid.addEventListener("pointermove", (event) => {
    const index = [...grid.children].indexOf(event.target);
    if (index >= 0) choose(index);
  });

  return {
    node,
    show(fresh) {
      chunks = fresh;
      each = Math.max(1, Math.ceil(chunks.length / MAX_CELLS));
      const cells = Math.ceil(chunks.length / each);
      const size = cells > 600 ? 9 : cells > 150 ? 13 : 20;
      wide = Math.max(1, Math.floor((box.clientWidth || 480) / size));
      grid.setAttribute(
        "viewBox",
        `0 0 ${wide * size} ${Math.max(1, Math.ceil(cells / wide)) * size}`,
      );
      while (grid.children.length > cells) grid.lastChild.remove();
      while (grid.children.length < cells) grid.append(svg("rect"));
      const numbers = Object.fromEntries(CHUNK_STATES.map((name) => [name, 0]));
      for (let i = 0; i < cells; i += 1) {
        const group = chunks.slice(i * each, (i + 1) * each).map(stateOf);
        for (const state of group) numbers[state] += 1;
        // The most important of several chunks in a cell.
        const shown = ["failed", "processing", "waiting", "pending", "cancelled", "completed"].find(
          (state) => group.includes(state),
        );
        const cell = grid.children[i];
        const [x, y] = [(i % wide) * size, Math.floor(i / wide) * size];
        for (const [key, value] of Object.entries({
          x: x + 1,
          y: y + 1,
          width: size - 2,
          height: size - 2,
          rx: size > 10 ? 3 : 1,
        }))
          cell.setAttribute(key, value);
        cell.setAttribute(
          "class",
          `${shown}${i === chosen && document.activeElement === box ? " chosen" : ""}`,
        );
      }
      box.setAttribute("aria-valuemax", Math.max(0, cells - 1));
      box.setAttribute("aria-valuetext", told(chosen) || "none yet");
      replace(
        legend,
        CHUNK_STATES.filter((state) => numbers[state] || state === "completed").map((state) =>
          h(
            "li",
            {},
            h(`i.swatch.${state}`, { "aria-hidden": "true" }),
            h("span", {}, state === "waiting" ? "waits for a retry" : state),
            h("b", {}, count(numbers[state])),
          ),
        ),
      );
    },
  };
}

function parts(status) {
  const list = h("ul.plain");
  const node = h("section.card", {}, h("h2", {}, plural(status.parts.total, "part")), list);
  api.get(api.query("/api/v1/jobs", { parent: status.job_id, limit: 500 })).then(
    ({ items }) =>
      replace(
        list,
        items.map((each) =>
          h(
            "li",
            {},
            badge(standing(each)),
            h("a.clip", { href: `#/jobs/${each.job_id}` }, each.filename),
            h("span.muted", {}, each.processor),
          ),
        ),
      ),
    () => {},
  );
  return node;
}

// -------------------------------------------------------------------- speed and bottleneck

function drawSpeed(node, chunks, status) {
  const done = chunks.filter((chunk) => chunk.finished_at && chunk.status === "completed");
  const heading = h("h2", {}, "Rows per second");
  if (done.length < 2) {
    replace(
      node,
      heading,
      h(
        "p.muted",
        {},
        isFinal(status.status)
          ? status.rows_per_second
            ? `One chunk only: ${rate(status.rows_per_second)} from start to end.`
            : "Too little data for a speed."
          : "Shown once the first chunks are done.",
      ),
    );
    return;
  }
  const start = Date.parse(status.started_at);
  const times = done.map((chunk) => Date.parse(chunk.finished_at));
  const length = Math.max(1, Math.max(...times) - start);
  // Chunks committed together ended together: no more buckets than such moments.
  const buckets = Math.max(3, Math.min(40, Math.floor(new Set(times).size / 2)));
  const sums = new Array(buckets).fill(0);
  done.forEach(
    (chunk, i) =>
      (sums[Math.min(buckets - 1, Math.floor(((times[i] - start) / length) * buckets))] +=
        chunk.row_count),
  );
  const speeds = sums.map((rows) => rows / (length / buckets / 1000));
  const most = Math.max(...speeds);
  const mean = status.rows_per_second ? ` · mean ${rate(status.rows_per_second)}` : "";
  const [width, height] = [600, 120];
  const points = speeds.map(
    (speed, i) => `${((i + 0.5) * width) / buckets},${height - (speed / most) * (height - 6)}`,
  );
  replace(
    node,
    heading,
    svg(
      "svg.chart",
      {
        viewBox: `0 0 ${width} ${height}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `Rows per second: peak ${rate(most)}${mean}`,
      },
      svg("polygon.area", {
        points: `${width / buckets / 2},${height} ${points.join(" ")} ${width - width / buckets / 2},${height}`,
      }),
      svg("polyline.line", { points: points.join(" ") }),
    ),
    h(
      "div.axis",
      {},
      h("span", {}, at(status.started_at)),
      h("span", {}, `peak ${rate(most)}${mean}`),
      h("span", {}, at(new Date(Math.max(...times)))),
    ),
  );
}

function drawLimits(node, chunks, status) {
  const sums = { wait: 0, read: 0, process: 0, write: 0 };
  for (const chunk of chunks)
    for (const name of Object.keys(sums)) sums[name] += chunk.timings?.[name] ?? 0;
  const total = Object.values(sums).reduce((a, b) => a + b, 0);
  const heading = h("h2", {}, "Where the time goes");
  if (!total)
    return replace(
      node,
      heading,
      h("p.muted", {}, "Measured in each chunk; shown once the first is done."),
    );
  const isCall = status.processor === "scoring";
  const names = { ...KINDS, process: isCall ? "Model service" : `Processor ${status.processor}` };
  const worst = Object.keys(sums).reduce((a, b) => (sums[b] > sums[a] ? b : a));
  const advice = {
    wait: "Chunks wait for a core. More cores help; a higher priority puts this job before others.",
    read: "Parsing takes longest, and runs on one core per process. JSON Lines and plain CSV without quotes parse fastest.",
    process: isCall
      ? "The model service takes longest: raise API_MAX_WORKERS or API_BATCH_SIZE as far as it keeps up."
      : "The processor takes longest: it runs in COMPUTE_PROCESSES processes or threads, so more cores help.",
    write:
      "Writing takes longest. On PostgreSQL check its disk and MAX_CONCURRENCY; SQLite has one writer, so PostgreSQL helps.",
  }[worst];
  return replace(
    node,
    heading,
    stack(
      Object.keys(sums).map((name) => ({
        name: names[name],
        value: sums[name],
        tone: TONES[name],
      })),
      {
        label: "Seconds by phase",
        text: (part) => `${duration(part.value)} · ${percent(part.value / total)}`,
      },
    ),
    h("p", {}, h("strong", {}, `Bottleneck: ${names[worst].toLowerCase()}. `), advice),
  );
}

// -------------------------------------------------------------------- the proof

/** Changes when the proof must be repeated: rows of a cancelled job are counted after its end. */
const keyOf = (status) => `${status.finished_at} ${status.rows.total} ${status.counts.loaded}`;

function proofBar(path) {
  const segments = COUNTS.map(([name, , tone]) => h(`i.${tone}`, { "data-of": name }));
  const cap = h("span.proof-cap", {}, icon("check"));
  const bar = h("div.proof-bar", { "aria-hidden": "true" }, h("div.proof-fill", {}, segments), cap);
  const verdict = h("p.proof-text", { role: "status" });
  const numbers = h("div");
  const again = button("Run the proof again", () => check(), { iconName: "lock", hidden: true });
  const node = h(
    "section.card.wide.proof",
    {},
    h("div.row.between", {}, h("h2", {}, "Proof"), again),
    bar,
    verdict,
    numbers,
  );
  let asked = null;
  let latest = null;

  async function check() {
    say(verdict, "Reading every stored row again …");
    again.hidden = true;
    try {
      const proof = await api.get(`${path}/proof`);
      const { rows, counts, hash } = proof;
      const isWhole = !missing({ ...proof, split_complete: latest.split_complete });
      node.classList.toggle("closed", proof.closes && proof.is_final && isWhole);
      node.classList.toggle("partial", proof.closes && proof.is_final && !isWhole);
      node.classList.toggle("broken", !proof.closes);
      replace(cap, icon(isWhole ? "check" : "warn"));
      const sum = COUNTS.map(([name, words]) => `${count(counts[name])} ${words}`).join(" + ");
      say(
        verdict,
        proof.closes
          ? [
              `It closes: ${count(rows.total)} rows in the file = ${sum}.`,
              !latest.split_complete && "The rest of the file was not read.",
            ]
              .filter(Boolean)
              .join(" ")
          : `It does not close: ${proof.problems.slice(0, 3).join("; ")}.`,
      );
      replace(
        numbers,
        facts([
          ["Hash as read", h("code", {}, hash.read)],
          ["Hash as stored", h("code", {}, hash.stored)],
          ["Rows stored", count(proof.stored.results)],
          ["Rejects stored", count(proof.stored.rejects)],
        ]),
      );
    } catch (error) {
      say(verdict, `The proof cannot run now: ${error.message}`);
    }
    again.hidden = false;
  }

  return {
    node,
    show(status) {
      latest = status;
      const { rows, counts } = status;
      const share = isFinal(status.status) ? 1 : status.progress_percent / 100;
      const done = Math.max(rows.total - counts.not_processed, 1);
      const whole = isFinal(status.status) ? Math.max(rows.total, 1) : done / Math.max(share, 1e-6);
      for (const segment of segments) {
        const isDue = segment.dataset.of !== "not_processed" || isFinal(status.status);
        segment.style.width = isDue ? `${(100 * counts[segment.dataset.of]) / whole}%` : 0;
      }
      if (!isFinal(status.status)) {
        node.classList.remove("closed", "partial", "broken");
        asked = null;
        const failed = counts.failed ? `, ${count(counts.failed)} failed` : "";
        say(
          verdict,
          `${count(counts.loaded)} loaded, ${count(counts.rejected)} rejected${failed} so far. ` +
            "The bar closes when every row is accounted for and read back unchanged.",
        );
      } else if (asked !== keyOf(status)) {
        asked = keyOf(status);
        if (rows.total <= AUTO_PROOF_ROWS) check();
        else {
          say(
            verdict,
            "Done. The proof reads every stored row again, which takes a while for so many rows.",
          );
          again.hidden = false;
        }
      }
    },
  };
}

// -------------------------------------------------------------------- timeline

/** Returns "3 to 5, 9" for [3, 4, 5, 9]. */
function ranges(numbers) {
  const found = [];
  for (const number of numbers) {
    const last = found[found.length - 1];
    if (last && number === last[1] + 1) last[1] = number;
    else found.push([number, number]);
  }
  return found
    .map(([from, to]) => (from === to ? count(from) : `${count(from)} to ${count(to)}`))
    .join(", ");
}

/** Chunks with incidents, grouped by equal text, as [time, text, tone, chunks]. */
function incidents(chunks) {
  const groups = new Map();
  for (const chunk of chunks.filter((each) => each.error || each.attempt > 1 || each.deaths)) {
    const how = {
      completed: `completed at attempt ${chunk.attempt}`,
      failed: `failed after ${plural(chunk.attempt, "attempt")}`,
      pending: `waits for attempt ${chunk.attempt + 1}`,
      processing: `attempt ${chunk.attempt} runs`,
      cancelled: "cancelled",
    }[chunk.status];
    const text = `${how}${chunk.error ? `: ${chunk.error.message ?? chunk.error.code}` : ""}`;
    if (!groups.has(text))
      groups.set(text, {
        time: "",
        tone: { completed: "warn", failed: "bad" }[chunk.status] ?? "idle",
        indexes: [],
      });
    const group = groups.get(text);
    const time = chunk.finished_at ?? chunk.available_at;
    if (time > group.time) group.time = time;
    group.indexes.push(chunk.chunk_index);
  }
  return [...groups].map(([text, { time, tone, indexes }]) => [
    time,
    indexes.length > 1
      ? `${count(indexes.length)} chunks ${text}`
      : `Chunk ${count(indexes[0])} ${text}`,
    tone,
    indexes.length > 1 ? ranges(indexes) : "",
  ]);
}

function drawTimeline(node, chunks, status) {
  const noted = incidents(chunks);
  const events = [
    [status.created_at, "Uploaded and durable", "ok"],
    [status.started_at, "First chunk created", "busy"],
    ...noted.slice(0, MAX_INCIDENTS),
  ];
  const state = standing(status);
  const end =
    {
      completed_with_errors: "Completed, with rejects",
      incomplete: `Incomplete. ${missing(status)}`,
      failed: `Failed${status.error ? `: ${status.error.message ?? status.error.code}` : ""}`,
    }[state] ?? NAMES[state];
  if (status.finished_at)
    events.push([
      status.finished_at,
      end,
      STATE_TONES[state] === "off" ? "idle" : STATE_TONES[state],
    ]);
  const known = events.filter(([time]) => time).sort((a, b) => Date.parse(a[0]) - Date.parse(b[0]));
  // Opened items stay open when the list is redrawn.
  const opened = new Set(
    [...node.querySelectorAll("details[open]")].map((each) => each.dataset.text),
  );
  replace(
    node,
    h("h2", {}, "Timeline"),
    h(
      "ol.timeline",
      {},
      known.map(([time, text, tone, which]) =>
        h(
          `li.${tone}`,
          {},
          h("time", { datetime: time, title: when(time) }, at(time)),
          h(
            "span",
            {},
            text,
            which &&
              h(
                "details",
                { "data-text": text, open: opened.has(text) },
                h("summary", {}, "Show the chunks"),
                which,
              ),
          ),
        ),
      ),
    ),
    noted.length > MAX_INCIDENTS &&
      h("p.muted", {}, `${count(noted.length - MAX_INCIDENTS)} more kinds of trouble.`),
  );
}
