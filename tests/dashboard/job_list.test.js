// Which jobs a filter shows, as the page and as the service are asked for them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { asParameters, isSimple, labelsIn } from "../../app/dashboard/js/options.js";
import { conditions, fits, where } from "../../app/dashboard/js/jobs/conditions.js";

const NONE = {
  search: "",
  status: "",
  processor: "",
  label: "",
  from: "",
  to: "",
  rejected: "",
  helpers: "",
};
const JOB = {
  number: 55,
  parent_id: null,
  helps: null,
  filename: "Orders.csv",
  status: "completed",
  processor: "rows",
  labels: ["q3"],
  created_at: new Date(2026, 2, 28, 23, 59).toISOString(),
  counts: { loaded: 95, rejected: 5, failed: 0, not_processed: 0 },
};
const isShown = (filter) => fits(JOB, { ...NONE, ...filter });

test("a number is searched for as one", () => {
  assert.equal(conditions({ ...NONE, search: "#55" }).number, "55");
  assert.equal(conditions({ ...NONE, search: "55" }).search, "55");
  assert.ok(isShown({ search: "#55" }));
  assert.ok(!isShown({ search: "#5" }));
  assert.equal(where({ ...NONE, search: "#55" }), null);
});

test("a day of the filter is one of the person's calendar, to its end", () => {
  assert.ok(isShown({ from: "2026-03-28", to: "2026-03-28" }));
  assert.ok(!isShown({ to: "2026-03-27" }));
  assert.ok(!isShown({ from: "2026-03-29" }));
});

test("the share of rejects is of all rows", () => {
  assert.ok(isShown({ rejected: "0" }));
  assert.ok(isShown({ rejected: "4" }));
  assert.ok(!isShown({ rejected: "5" }));
});

test("all conditions must hold, and a part is never listed", () => {
  assert.ok(isShown({ search: "orders", label: "q3", status: "completed", processor: "rows" }));
  assert.ok(!isShown({ search: "orders", label: "q4" }));
  assert.ok(!fits({ ...JOB, parent_id: "x" }, NONE));
});

test("an action on all that match has the same conditions", () => {
  const body = where({ ...NONE, label: "q3", rejected: "0", status: "failed" });
  assert.deepEqual(body, { label: ["q3"], rejected_over: 0, status: "failed", helpers: false });
  assert.deepEqual(where(NONE), { helpers: false });
  assert.deepEqual(where({ ...NONE, helpers: "shown" }), {});
});

test("a job that helps another one is listed if it is asked for, also by its number", () => {
  const correction = { ...JOB, parent_id: "x", helps: 54 };
  assert.ok(!fits(correction, NONE));
  assert.ok(fits(correction, { ...NONE, helpers: "shown" }));
  assert.ok(fits(correction, { ...NONE, search: "#55" }));
  assert.ok(!fits({ ...JOB, parent_id: "x" }, { ...NONE, helpers: "shown" }));
});

test("options are texts or JSON in a query, labels are said once", () => {
  const parameters = asParameters({ mode: "upsert", key: ["id"], dry_run: true });
  assert.deepEqual(parameters, {
    "option.mode": "upsert",
    "option.key": '["id"]',
    "option.dry_run": "true",
  });
  assert.deepEqual(labelsIn(" a, b ,a,,"), ["a", "b"]);
});

test("a type is offered unless it requires what fields cannot give", () => {
  const id = { type: "string", format: "uuid" };
  const nested = { anyOf: [{ type: "object" }, { type: "null" }] };
  const offered = (properties, required = []) => isSimple({ options: { properties, required } });
  assert.ok(offered({ table: { type: "string" }, columns: nested }, ["table"]));
  assert.ok(!offered({ reference_file_id: id }, ["reference_file_id"]));
  assert.ok(!offered({ columns: nested }, ["columns"]));
});
