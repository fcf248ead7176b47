// Uploads that the service refused, kept until they are dismissed: this tab shows them again after a
// reload. The bytes of a file cannot be kept, so it has to be chosen again.

const KEY = "granula.refused";
const MOST = 50;

/** The refused uploads as [{id, name, reason, settings}], the oldest first. */
export function kept() {
  try {
    const list = JSON.parse(sessionStorage.getItem(KEY)) ?? [];
    return Array.isArray(list) ? list.filter((each) => each?.id && each.name && each.reason) : [];
  } catch {
    return []; // forbidden, or not ours
  }
}

function write(list) {
  try {
    if (list.length) sessionStorage.setItem(KEY, JSON.stringify(list.slice(-MOST)));
    else sessionStorage.removeItem(KEY);
  } catch {
    /* not stored: they hold until the page is reloaded */
  }
}

/** Keeps a refused upload; returns its id. */
export function keep({ name, reason, settings }) {
  const id = `${Date.now()}-${Math.random()}`;
  write([...kept(), { id, name, reason, settings }]);
  return id;
}

export const forget = (id) => write(kept().filter((each) => each.id !== id));
export const forgetAll = () => write([]);
