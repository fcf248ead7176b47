// What the filters of the list of jobs mean, to the service and to the page.

/** Returns the start of a local day, or of the next one, as a moment. */
function startOf(day, plusDays = 0) {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + plusDays).toISOString();
}

/** Returns the filters as conditions of the service. */
export function conditions({ search, status, processor, label, from, to, rejected, helpers }) {
  const number = /^#([1-9]\d{0,17})$/.exec(search.trim())?.[1] ?? "";
  return {
    number,
    search: number ? "" : search,
    status,
    processor,
    label,
    since: from && startOf(from),
    until: to && startOf(to, 1),
    rejected_over: rejected,
    helpers: Boolean(number || helpers),
  };
}

/** Returns whether a job meets the filters. A part of a job never does, and a job that helps another
 *  one only if they are asked for. */
export function fits(item, filter) {
  const wanted = conditions(filter);
  const rows = Object.values(item.counts).reduce((sum, count) => sum + count, 0);
  const created = new Date(item.created_at);
  return (
    (item.helps ? wanted.helpers : !item.parent_id) &&
    (!wanted.number || String(item.number) === wanted.number) &&
    (!wanted.search || item.filename.toLowerCase().includes(wanted.search.toLowerCase())) &&
    (!wanted.status || item.status === wanted.status) &&
    (!wanted.processor || item.processor === wanted.processor) &&
    (!wanted.label || item.labels.includes(wanted.label)) &&
    (!wanted.since || created >= new Date(wanted.since)) &&
    (!wanted.until || created < new Date(wanted.until)) &&
    (wanted.rejected_over === "" ||
      item.counts.rejected * 100 > Number(wanted.rejected_over) * rows)
  );
}

/** Returns the filters as the body of an action on all jobs that meet them. */
export function where(filter) {
  const { number, label, rejected_over: over, helpers, ...others } = conditions(filter);
  if (number) return null;
  const body = Object.fromEntries(Object.entries(others).filter(([, value]) => value));
  if (label) body.label = [label];
  if (over !== "") body.rejected_over = Number(over);
  if (!helpers) body.helpers = false;
  return body;
}
