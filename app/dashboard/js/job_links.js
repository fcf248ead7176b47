// Addresses of jobs. A job has a short number, which people can say and type; its id works, too.

/** Returns the address of a job, or of one of its tabs. */
export function jobLink({ number, job_id: id }, tab = "") {
  const which = number ?? encodeURIComponent(id);
  return `#/jobs/${which}${tab ? `/${tab}` : ""}`;
}
