// The line about a running job.

import assert from "node:assert/strict";
import { test } from "node:test";
import { progressText } from "../../app/dashboard/js/progress.js";

const job = { status: "processing", waiting_on: null, progress_percent: 43.5 };

test("speed and time left are shown as far as they are known", () => {
  assert.equal(progressText(job, null), "43.5 %");
  assert.equal(progressText(job, { speed: null, left: null }), "43.5 %");
  assert.equal(progressText(job, { speed: 1234.4, left: null }), "43.5 % · 1,234 rows/s");
  assert.equal(progressText(job, { speed: 1234.4, left: 7.2 }), "43.5 % · 1,234 rows/s · 8 s left");
  assert.equal(progressText(job, { speed: null, left: 0.2 }), "43.5 % · almost done");
  assert.equal(progressText(job, { speed: null, left: 61 }), "43.5 % · 1 min 1 s left");
});

test("a job that does not run says why", () => {
  assert.equal(progressText({ ...job, status: "queued" }, null), "Waiting in the queue");
  assert.equal(progressText({ ...job, progress_percent: 0 }, null), "Just started");
  assert.equal(progressText({ ...job, waiting_on: "the model" }, null), "Waits for the model");
});
