// The speed and the time left that the page shows, compared with the real ones.

import assert from "node:assert/strict";
import { test } from "node:test";
import { paced, secondsRun, speedCurve } from "../../app/dashboard/js/speed.js";

const START = Date.parse("2026-01-05T10:00:00Z") / 1000;

/** The status of a job of `all` rows that runs at `speed` and commits at each full `commit`
 *  seconds, `passed` seconds after its start. `noise` is how wrong the estimate is. */
function status(passed, { speed = 1000, commit = 0.1, all = 60_000, noise = 1 } = {}) {
  const processed = Math.floor(passed / commit) * commit;
  const rows = Math.min(all, speed * processed);
  return {
    status: "processing",
    waiting_on: null,
    started_at: "2026-01-05T10:00:00Z",
    counts: { loaded: rows, rejected: 0, failed: 0, not_processed: 0 },
    rows_per_second: passed > 1 ? Math.round((10 * rows) / passed) / 10 : 0,
    eta_seconds: passed > 1 ? (noise * (all - rows)) / speed : null,
  };
}

/** Shows a job twice a second, and returns what was shown as [seconds, shown]. */
function watched(until, options = {}, from = 0) {
  const shown = [];
  let known = null;
  for (let tick = from * 2; tick <= until * 2; tick += 1) {
    const passed = tick / 2;
    const noise = options.noise ? options.noise(tick) : 1;
    known = paced(known, status(passed, { ...options, noise }), START + passed);
    shown.push([passed, known]);
  }
  return shown;
}

test("a job of less than ten seconds shows neither speed nor time left", () => {
  for (const [passed, { speed, left }] of watched(9.5)) {
    assert.equal(speed, null, `at ${passed} s`);
    assert.equal(left, null, `at ${passed} s`);
  }
  const [, last] = watched(10.5).at(-1);
  assert.ok(last.speed > 0 && last.left > 0);
});

test("a page opened later shows both at once", () => {
  const [[, first]] = watched(30, {}, 30);
  assert.ok(Math.abs(first.speed - 1000) < 10);
  assert.ok(Math.abs(first.left - 30) < 1);
});

test("group commits do not move the speed", () => {
  for (const commit of [0.1, 0.7, 1, 1.5]) {
    const figures = watched(55, { commit }).filter(([, { speed }]) => speed !== null);
    assert.ok(figures.length > 80);
    for (const [passed, { speed }] of figures)
      assert.ok(Math.abs(speed - 1000) < 220, `${speed} at ${passed} s, commits of ${commit} s`);
  }
});

test("an estimate that jumps by half is smoothed, and falls as time passes", () => {
  const noise = (tick) => (tick % 2 ? 1.25 : 0.75);
  const figures = watched(55, { noise }).filter(([, { left }]) => left !== null);
  let before = null;
  for (const [passed, { left }] of figures) {
    assert.ok(Math.abs(left - (60 - passed)) < 0.15 * (60 - passed) + 2, `${left} at ${passed} s`);
    if (before !== null) assert.ok(left - before < 5, `rose by ${left - before} at ${passed} s`);
    before = left;
  }
});

test("a job that becomes slower is soon shown as slower", () => {
  let known = null;
  const at = (passed) => {
    const rows = Math.min(passed, 30) * 1000 + Math.max(0, passed - 30) * 100;
    return { ...status(passed), counts: { loaded: rows, rejected: 0, failed: 0 } };
  };
  for (let tick = 0; tick <= 90; tick += 1) known = paced(known, at(tick / 2), START + tick / 2);
  assert.ok(known.speed < 200, `${known.speed} 15 s later`);
});

test("a job that waits, has ended, or runs again begins anew", () => {
  const known = paced(null, status(30), START + 30);
  assert.equal(paced(known, { ...status(31), waiting_on: "the model" }, START + 31), null);
  assert.equal(paced(known, { ...status(31), status: "completed" }, START + 31), null);
  const again = paced(known, status(12), START + 60);
  assert.ok(Math.abs(again.speed - 1000) < 10);
});

test("the clock of the service counts, unless there is no speed yet", () => {
  const wrong = START + 3600;
  assert.ok(Math.abs(secondsRun(status(20), wrong) - 20) < 0.2);
  assert.equal(secondsRun({ ...status(20), rows_per_second: 0 }, START + 4), 4);
  assert.equal(secondsRun({ ...status(0), started_at: null }, START + 4), 0);
});

const chunks = (ends, rows = 500) =>
  ends.map((at) => ({
    status: "completed",
    finished_at: new Date((START + at) * 1000).toISOString(),
    row_count: rows,
  }));

test("a curve of a job in few commits has no gaps", () => {
  const ends = [0.5, 0.9, 1.4, 1.9].flatMap((at) => new Array(16).fill(at));
  const curve = speedCurve(chunks(ends), "2026-01-05T10:00:00Z");
  assert.equal(curve.length, 40);
  const mean = (64 * 500) / 1.9;
  for (const { at, speed } of curve)
    assert.ok(speed > 0.6 * mean && speed < 1.6 * mean, `${speed} at ${at} s`);
});

test("a pause is a valley, and all rows count once", () => {
  const ends = [];
  for (let at = 1; at <= 60; at += 1) if (at <= 20 || at > 40) ends.push(at);
  const curve = speedCurve(chunks(ends, 1000), "2026-01-05T10:00:00Z", 60);
  assert.ok(curve[35].speed < 200);
  assert.ok(curve[15].speed > 900);
  const rows = curve.reduce((sum, { speed }) => sum + speed * (60 / curve.length), 0);
  assert.ok(Math.abs(rows - 40_000) < 4_000);
});

test("one commit has no curve", () => {
  assert.deepEqual(speedCurve([], "2026-01-05T10:00:00Z"), []);
  assert.deepEqual(speedCurve(chunks([1, 1, 1]), "2026-01-05T10:00:00Z"), []);
});
