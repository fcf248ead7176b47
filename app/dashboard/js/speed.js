// Speed and remaining time of a job, from its rows. Pure: no DOM, no clock.

/** A job that ran less than this shows neither: the first figures say little. */
export const SHORT_SECONDS = 10;
/** Figures of this long ago count about a third as much as those of now. */
const MEMORY_SECONDS = 5;
/** A job that ran eight seconds remembers one. */
const RUN_PER_MEMORY = 8;
/** Weight of each point of a curve against the average of those before. */
const CURVE_WEIGHT = 0.3;
/** Chunks that are committed together end within this time. */
const BURST_SECONDS = 0.05;

const rowsDone = ({ counts }) => counts.loaded + counts.rejected + counts.failed;

/** Returns for how many seconds a running job has processed rows, by the clock of the service;
 *  only without a speed by that of the page, `now` in seconds. */
export function secondsRun(job, now) {
  const { counts, rows_per_second: mean, started_at: startedAt } = job;
  if (mean > 0) return (counts.loaded + counts.rejected) / mean;
  return startedAt ? Math.max(0, now - Date.parse(startedAt) / 1000) : 0;
}

/** Adds the newest status of a job to what is known of its pace; `before` is what this function
 *  returned for the status before, null for the first one. `speed` in rows per second and `left`
 *  in seconds are what may be shown: moving averages, null while they would be noise. */
export function paced(before, job, now) {
  if (job.status !== "processing" || job.waiting_on) return null;
  const rows = rowsDone(job);
  const known = before && rows >= before.rows ? before : null;
  const { mean, changed } = speedAfter(known, rows, job, now);

  // The moment of the end is smoothed, so that the time left falls as time passes. The estimates of
  // the first seconds, which say little, are soon forgotten.
  const run = secondsRun(job, now);
  const isShort = run < SHORT_SECONDS;
  const memory = Math.min(MEMORY_SECONDS, run / RUN_PER_MEMORY);
  let end = job.eta_seconds === null ? null : now + job.eta_seconds;
  if (end !== null && known && known.end !== null && memory > 0)
    end = blend(known.end, end, now - known.at, memory);

  // Rows come in group commits: only a pause of some length makes a job slower.
  const speed = blend(mean, 0, Math.max(0, now - changed - MEMORY_SECONDS));
  return {
    at: now,
    rows,
    mean,
    changed,
    end,
    speed: isShort || speed <= 0 ? null : speed,
    left: isShort || end === null ? null : Math.max(0, end - now),
  };
}

/** Returns the average with a figure that holds for the last `seconds`. */
const blend = (average, figure, seconds, memory = MEMORY_SECONDS) =>
  average + (1 - Math.exp(-seconds / memory)) * (figure - average);

/** Returns the average speed, and when rows were last added. */
function speedAfter(known, rows, job, now) {
  if (!known) return { mean: job.rows_per_second, changed: now };
  const passed = now - known.changed;
  if (rows === known.rows || passed <= 0) return known;
  return { mean: blend(known.mean, (rows - known.rows) / passed, passed), changed: now };
}

/** Returns rows per second at `points` moments from the start of the job to the end of its last
 *  chunk, as [{at, speed}] with `at` in seconds since the start. The rows of a chunk count for the
 *  time since the previous commit, in which they were processed, not for its moment. Empty if
 *  there are fewer than two commits. */
export function speedCurve(chunks, startedAt, points = 40) {
  const start = Date.parse(startedAt) / 1000;
  const ends = chunks
    .filter((chunk) => chunk.status === "completed" && chunk.finished_at)
    .map((chunk) => ({ at: Date.parse(chunk.finished_at) / 1000 - start, rows: chunk.row_count }))
    .sort((a, b) => a.at - b.at);
  const commits = [{ at: 0, total: 0 }];
  for (const { at, rows } of ends) {
    const last = commits[commits.length - 1];
    if (commits.length > 1 && at - last.at < BURST_SECONDS) last.total += rows;
    else commits.push({ at: Math.max(at, last.at), total: last.total + rows });
  }
  const length = commits[commits.length - 1].at;
  if (commits.length < 3 || length <= 0) return [];

  const step = length / points;
  const curve = [];
  let place = 1;
  let done = 0;
  let mean = null;
  for (let point = 1; point <= points; point += 1) {
    const at = point * step;
    while (place < commits.length - 1 && commits[place].at < at) place += 1;
    const [from, to] = [commits[place - 1], commits[place]];
    const share = to.at > from.at ? Math.min(1, (at - from.at) / (to.at - from.at)) : 1;
    const total = from.total + share * (to.total - from.total);
    const speed = (total - done) / step;
    mean = mean === null ? speed : mean + CURVE_WEIGHT * (speed - mean);
    curve.push({ at, speed: mean });
    done = total;
  }
  return curve;
}
