// What a view shows, in the address of the page: `#/jobs/ID/results?search=Ada`. So a link opens the
// same view, and the back button returns to the one before.

/** Returns the parameters of the address. */
export const parameters = () => new URLSearchParams(location.hash.split("?")[1] ?? "");

/** Sets the parameters {name: value or list of values}; empty values are left out. `isStep`: the
 *  back button returns to the address before. */
export function setParameters(values, { isStep = true } = {}) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(values))
    for (const each of [value].flat())
      if (each !== null && each !== undefined && each !== "") parts.append(name, each);
  const [path] = location.hash.split("?");
  const text = parts.toString();
  const next = text ? `${path}?${text}` : path;
  if (next === location.hash) return;
  if (isStep) history.pushState(null, "", next);
  else history.replaceState(null, "", next);
}
