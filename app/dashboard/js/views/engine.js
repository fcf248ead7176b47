// How a job was processed: the proof, the map of its chunks, its speed, where the time went, and what
// happened.

import * as api from "../api.js";
import { button, h, replace, say, svg } from "../dom.js";
import {
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
import { t } from "../messages.js";
import { AUTO_PROOF_ROWS, proofKey, verdictOf } from "../outcome.js";
import { facts, stack } from "../parts.js";
import { SHORT_SECONDS, speedCurve } from "../speed.js";

const MAX_CELLS = 1500;
const MAX_INCIDENTS = 50;
const CHUNK_STATES = {
  completed: t("completed"),
  processing: t("processing"),
  waiting: t("waits for a retry"),
  pending: t("pending"),
  failed: t("failed"),
  cancelled: t("cancelled"),
};
/** The most important of several chunks in a cell comes first. */
const BY_IMPORTANCE = ["failed", "processing", "waiting", "pending", "cancelled", "completed"];
const KINDS = {
  wait: t("Waiting for a free core"),
  read: t("Reading and parsing"),
  process: t("Processing"),
  write: t("Database"),
};
const TONES = { wait: "idle", read: "busy", process: "accent", write: "warn" };
/** Pages of the guide that explain what is on this page. */
const GUIDE = {
  chunks: "/guide/states.html#chunk",
  proof: "/guide/concepts.html",
  time: "/guide/dashboard.html",
};

/** A sentence with a link to the page of the guide that says more. */
const explained = (text, page) =>
  h("p.muted.hint", {}, text, " ", h("a", { href: GUIDE[page] }, t("More in the guide")));

/** A chunk that waits for a retry is shown as waiting. */
const stateOf = (chunk) =>
  chunk.status === "pending" && (chunk.attempt > 0 || chunk.error) ? "waiting" : chunk.status;

export default function engine({ path, status: first, proofs }) {
  let status = first;
  let chunks = [];
  let timer = null;
  let isGone = false;
  const map = chunkMap();
  const speed = h("section.card", { hidden: true });
  const limits = h("section.card", {});
  const proof = proofCard(proofs);
  const timeline = h("section.card", {});
  const about = h("section.card.wide", {});
  const node = h(
    "div.grid-2.engine",
    {},
    proof.node,
    !status.parts && [map.node, limits, speed, timeline],
    about,
  );

  function drawAbout() {
    const attempts = chunks.reduce((sum, chunk) => sum + chunk.attempt, 0);
    const repeated = chunks.filter((chunk) => chunk.attempt > 1).length;
    const clip = (text) => h("code.clip", { title: text }, text);
    replace(
      about,
      h("h2", {}, t("The job")),
      facts([
        [t("Chunks"), count(status.total_chunks)],
        chunks.length > 0 && [
          t("Attempts"),
          repeated
            ? t("{count}: {chunks} ran again", {
                count: count(attempts),
                chunks: plural(repeated, "chunk"),
              })
            : count(attempts),
        ],
        [t("Priority"), count(status.priority)],
        status.started_at && [t("Started"), when(status.started_at)],
        status.finished_at && [t("Took"), duration(secondsOf(status))],
        [t("Job"), clip(status.job_id)],
        [t("File"), clip(status.file_id)],
        status.sha256 && [t("SHA-256 of the file"), clip(status.sha256)],
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
    drawAbout();
  }

  function later() {
    // A large map is read less often, since it costs more.
    timer ??= setTimeout(() => ((timer = null), load()), chunks.length > 2000 ? 3000 : 500);
  }

  proof.show(status);
  drawAbout();
  load();
  return {
    node,
    update(fresh) {
      status = fresh;
      proof.show(fresh);
      drawAbout();
      later();
    },
    dispose() {
      isGone = true;
      clearTimeout(timer);
      proof.dispose();
    },
  };
}

const secondsOf = ({ started_at: from, finished_at: to }) =>
  from ? ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000 : 0;

// -------------------------------------------------------------------- the map

function chunkMap() {
  const grid = svg("svg.map", { "aria-hidden": "true" });
  const text = h("p.muted", {}, t("Arrow keys move through the chunks."));
  const box = h(
    "div.map-box",
    {
      role: "slider",
      tabindex: 0,
      "aria-label": t("Chunk"),
      "aria-valuemin": 0,
      "aria-valuemax": 0,
      "aria-valuenow": 0,
    },
    grid,
  );
  const legend = h("ul.legend");
  const meaning = t(
    "A chunk is a run of rows that is processed at once: it is stored as a whole, or not at all.",
  );
  const node = h(
    "section.card",
    {},
    h("h2", {}, t("Map of the chunks")),
    explained(meaning, "chunks"),
    box,
    legend,
    text,
  );
  let chunks = [];
  let each = 1;
  let chosen = 0;
  let wide = 1;

  const told = (index) => {
    const chunk = chunks[Math.min(chunks.length - 1, index * each)];
    if (!chunk) return "";
    const last = chunk.first_row + chunk.row_count - 1;
    return [
      each > 1
        ? t("Chunk {index} (a cell is {each} chunks)", { index: count(chunk.chunk_index), each })
        : t("Chunk {index}", { index: count(chunk.chunk_index) }),
      CHUNK_STATES[stateOf(chunk)],
      t("rows {first} to {last}", { first: count(chunk.first_row), last: count(last) }),
      chunk.attempt > 1 && t("attempt {number}", { number: chunk.attempt }),
      chunk.rows_invalid && plural(chunk.rows_invalid, "reject"),
      chunk.error?.message,
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
      const numbers = Object.fromEntries(BY_IMPORTANCE.map((name) => [name, 0]));
      for (let i = 0; i < cells; i += 1) {
        const group = chunks.slice(i * each, (i + 1) * each).map(stateOf);
        for (const state of group) numbers[state] += 1;
        const shown = BY_IMPORTANCE.find((state) => group.includes(state));
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
      box.setAttribute("aria-valuetext", told(chosen) || t("none yet"));
      replace(
        legend,
        Object.entries(CHUNK_STATES)
          .filter(([state]) => numbers[state] || state === "completed")
          .map(([state, name]) =>
            h(
              "li",
              {},
              h(`i.swatch.${state}`, { "aria-hidden": "true" }),
              h("span", {}, name),
              h("b", {}, count(numbers[state])),
            ),
          ),
      );
    },
  };
}

// -------------------------------------------------------------------- speed and bottleneck

/** Draws the speed over time; a short job has too few commits for one. */
function drawSpeed(node, chunks, status) {
  const curve = secondsOf(status) < SHORT_SECONDS ? [] : speedCurve(chunks, status.started_at);
  node.hidden = !curve.length;
  if (!curve.length) return;
  const length = curve[curve.length - 1].at;
  const most = Math.max(...curve.map(({ speed }) => speed));
  const [width, height] = [600, 120];
  const points = curve.map(
    ({ at: moment, speed }) =>
      `${(moment / length) * width},${height - (speed / most) * (height - 6)}`,
  );
  const start = `0,${points[0].split(",")[1]}`;
  const figures = [t("peak {rate}", { rate: rate(most) })];
  if (status.rows_per_second)
    figures.push(t("mean {rate}", { rate: rate(status.rows_per_second) }));
  const label = figures.join(" · ");
  replace(
    node,
    h("h2", {}, t("Rows per second")),
    svg(
      "svg.chart",
      {
        viewBox: `0 0 ${width} ${height}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${t("Rows per second")}: ${label}`,
      },
      svg("polygon.area", {
        points: `0,${height} ${start} ${points.join(" ")} ${width},${height}`,
      }),
      svg("polyline.line", { points: `${start} ${points.join(" ")}` }),
    ),
    h(
      "div.axis",
      {},
      h("span", {}, at(status.started_at)),
      h("span", {}, label),
      h("span", {}, at(new Date(Date.parse(status.started_at) + 1000 * length))),
    ),
  );
}

/** What would make a job faster, by where most of its time went. */
function adviceFor(worst, isCall) {
  if (worst === "wait")
    return t(
      "Chunks wait for a core. More cores help; a higher priority puts this job before others.",
    );
  if (worst === "read")
    return t(
      "Parsing runs on one core per process. JSON Lines and plain CSV without quotes parse fastest.",
    );
  if (worst === "write")
    return t("The database takes longest. SQLite has one writer, so PostgreSQL helps.");
  if (isCall)
    return t(
      "The model service takes longest. Ask your administrator to send it more rows at once.",
    );
  return t("The processor takes longest, so more cores help.");
}

function drawLimits(node, chunks, status) {
  const sums = { wait: 0, read: 0, process: 0, write: 0 };
  for (const chunk of chunks)
    for (const name of Object.keys(sums)) sums[name] += chunk.timings?.[name] ?? 0;
  const total = Object.values(sums).reduce((a, b) => a + b, 0);
  const heading = h("h2", {}, t("Where the time went"));
  if (!total) {
    const text = isFinal(status.status)
      ? t("No chunk was measured.")
      : t("Measured in each chunk; shown once the first is done.");
    replace(node, heading, h("p.muted", {}, text));
    return;
  }
  const isCall = status.processor === "scoring";
  const process = isCall ? t("Model service") : t("Processor {name}", { name: status.processor });
  const names = { ...KINDS, process };
  const worst = Object.keys(sums).reduce((a, b) => (sums[b] > sums[a] ? b : a));
  replace(
    node,
    heading,
    stack(
      Object.keys(sums).map((name) => ({
        name: names[name],
        value: sums[name],
        tone: TONES[name],
      })),
      {
        label: t("Seconds by phase"),
        text: (part) => `${duration(part.value)} · ${percent(part.value / total)}`,
      },
    ),
    explained(t("Chunks run side by side, so the sum may exceed the duration."), "time"),
    secondsOf(status) >= SHORT_SECONDS &&
      h(
        "p",
        {},
        h("strong", {}, t("Most time: {phase}.", { phase: names[worst].toLowerCase() }), " "),
        adviceFor(worst, isCall),
      ),
  );
}

// -------------------------------------------------------------------- the proof

/** What was compared: the rows of a load with its table, other rows by their hashes. */
function compared({ hash, table }) {
  if (!table)
    return [
      [t("Hash as read"), h("code", {}, hash.read)],
      [t("Hash as stored"), h("code", {}, hash.stored)],
    ];
  return [
    [t("Rows as they were loaded"), count(table.same)],
    [t("Changed by others since"), count(table.changed)],
    [t("Removed by others since"), count(table.removed)],
  ];
}

/** The proof in figures: what was compared, and what is stored. */
function proofCard(proofs) {
  const verdict = h("p.proof-text", { role: "status" });
  const numbers = h("div");
  const again = button(t("Verify again"), () => check(true), { iconName: "lock", hidden: true });
  const meaning = t(
    "The service reads the stored rows again. The sum of the hashes of all rows as stored must be that of the rows as read from the file.",
  );
  const node = h(
    "section.card.wide.proof",
    {},
    h("div.row.between", {}, h("h2", {}, t("Proof")), again),
    verdict,
    explained(meaning, "proof"),
    numbers,
  );
  let asked = null;
  let latest = null;
  let isGone = false;

  async function check(isAgain) {
    const mine = (asked = proofKey(latest));
    say(verdict, t("Verifying the stored rows …"));
    again.hidden = true;
    try {
      const proof = await proofs(latest, isAgain);
      if (isGone || mine !== asked) return;
      const { tone, text } = verdictOf(proof, latest);
      for (const each of ["closed", "partial", "broken"])
        node.classList.toggle(each, each === tone);
      say(verdict, text);
      replace(
        numbers,
        facts([
          ...compared(proof),
          [t("Rows stored"), count(proof.stored.results)],
          [t("Rejects stored"), count(proof.stored.rejects)],
        ]),
      );
    } catch (error) {
      if (isGone || mine !== asked) return;
      say(verdict, t("The rows cannot be verified now: {reason}", { reason: error.message }));
    }
    again.hidden = false;
  }

  return {
    node,
    show(status) {
      latest = status;
      if (!isFinal(status.status)) {
        asked = null;
        node.classList.remove("closed", "partial", "broken");
        again.hidden = true;
        replace(numbers);
        say(verdict, t("Rows are verified once the job has ended."));
      } else if (asked !== proofKey(status)) {
        if (status.rows.total <= AUTO_PROOF_ROWS) check(false);
        else {
          asked = proofKey(status);
          say(verdict, t("Done. To verify so many rows takes a while: each is read again."));
          again.hidden = false;
        }
      }
    },
    dispose: () => (isGone = true),
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
    .map(([from, to]) =>
      from === to ? count(from) : t("{from} to {to}", { from: count(from), to: count(to) }),
    )
    .join(", ");
}

/** Chunks with incidents, grouped by equal text, as [time, text, tone, chunks]. */
function incidents(chunks) {
  const groups = new Map();
  for (const chunk of chunks.filter((each) => each.error || each.attempt > 1 || each.deaths)) {
    const how = {
      completed: t("completed at attempt {number}", { number: chunk.attempt }),
      failed: t("failed after {attempts}", { attempts: plural(chunk.attempt, "attempt") }),
      pending: t("waits for attempt {number}", { number: chunk.attempt + 1 }),
      processing: t("attempt {number} runs", { number: chunk.attempt }),
      cancelled: t("cancelled"),
    }[chunk.status];
    const text = chunk.error ? `${how}: ${chunk.error.message ?? chunk.error.code}` : how;
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
      ? t("{count} chunks {what}", { count: count(indexes.length), what: text })
      : t("Chunk {index} {what}", { index: count(indexes[0]), what: text }),
    tone,
    indexes.length > 1 ? ranges(indexes) : "",
  ]);
}

function drawTimeline(node, chunks, status) {
  const noted = incidents(chunks);
  const events = [
    [status.created_at, t("Received and safely stored"), "ok"],
    [status.started_at, t("Started"), "busy"],
    ...noted.slice(0, MAX_INCIDENTS),
  ];
  const state = standing(status);
  const reason = status.error && (status.error.message ?? status.error.code);
  const ends = {
    completed_with_errors: t("Completed, with rejects"),
    incomplete: t("Incomplete. {reason}", { reason: missing(status) }),
    failed: reason ? t("Failed: {reason}", { reason }) : t("Failed"),
  };
  const end = ends[state] ?? NAMES[state];
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
    h("h2", {}, t("Timeline")),
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
                h("summary", {}, t("Show the chunks")),
                which,
              ),
          ),
        ),
      ),
    ),
    noted.length > MAX_INCIDENTS &&
      h(
        "p.muted",
        {},
        t("{count} more kinds of trouble.", { count: count(noted.length - MAX_INCIDENTS) }),
      ),
  );
}
