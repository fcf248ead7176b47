// Addresses of jobs. A job has a short number, which people can say and type; its id works, too.

import * as api from "./api.js";

const NUMBER = /^#?(\d{1,15})$/;

/** Returns the address of a job, or of one of its tabs. */
export function jobLink({ number, job_id: id }, tab = "") {
  const which = number ?? encodeURIComponent(id);
  return `#/jobs/${which}${tab ? `/${tab}` : ""}`;
}

/** Returns the status of the job with this number or id; otherwise raises a Problem. */
export async function findJob(numberOrId) {
  const number = NUMBER.exec(numberOrId)?.[1];
  return api.get(`/api/v1/jobs/${encodeURIComponent(number ? await idOf(number) : numberOrId)}`);
}

/** The list has jobs by falling number, so the first one below the next number is the job. */
async function idOf(number) {
  const { items } = await api.get(
    api.query("/api/v1/jobs", { before: Number(number) + 1, limit: 1 }),
  );
  if (items[0]?.number !== Number(number)) throw new api.Problem(404, null);
  return items[0].job_id;
}
