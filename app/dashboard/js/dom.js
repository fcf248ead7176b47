// Creates elements. Text always stays text: no part of the dashboard parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Properties that set the default of a field, which is also its current value until it is
 *  edited. */
const DEFAULTS = {
  INPUT: { value: "defaultValue", checked: "defaultChecked" },
  TEXTAREA: { value: "defaultValue" },
  OPTION: { selected: "defaultSelected" },
};

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
    else if (node instanceof HTMLElement && DEFAULTS[node.tagName]?.[name])
      node[DEFAULTS[node.tagName][name]] = value;
    else if (
      ["value", "checked", "disabled", "hidden", "selected", "draggable", "multiple"].includes(name)
    )
      node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

/** h("div.card.wide", {onclick}, "text", node): classes after dots, properties, children. */
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  return fill(node, props, children);
}

export function svg(name, props, ...children) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElementNS(SVG, tag);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  return fill(node, props, children);
}

export const replace = (node, ...children) =>
  node.replaceChildren(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false),
  );

/** Set the text only if it changed: a screen reader reads every change. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const ICONS = {
  jobs: "M4 6h16M4 12h16M4 18h10",
  mapping:
    "M4 7h5c5 0 5 10 10 10h1M4 17h5c2 0 3.200-1.600 4.200-3.500M17 4l3 3-3 3M14.500 8.500c1-1 2-1.500 4.500-1.500M17 14l3 3-3 3",
  tables: "M4 5h16v14H4zM4 10h16M4 14.500h16M10 5v14",
  search: "M10.500 4a6.500 6.500 0 1 1 0 13 6.500 6.500 0 0 1 0-13M15.500 15.500L20 20",
  schedules: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16M12 8v4l3 2",
  watches: "M3 12c4-7 14-7 18 0-4 7-14 7-18 0M12 9.500a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5",
  webhooks: "M6 8a6 6 0 0 1 12 0c0 6 2 7 2 8H4c0-1 2-2 2-8M10 19.500a2.200 2.200 0 0 0 4 0",
  system: "M4 5h16v6H4zM4 13h16v6H4zM7.500 8h.01M7.500 16h.01",
  manual:
    "M5 5h5a2.500 2.500 0 0 1 2 1v13a2.500 2.500 0 0 0-2-1H5zM19 5h-5a2.500 2.500 0 0 0-2 1v13a2.500 2.500 0 0 1 2-1h5z",
  api: "M8.500 8L4.500 12l4 4M15.500 8l4 4-4 4",
  upload: "M12 16V5M7.500 9.500L12 5l4.500 4.500M5 19h14",
  download: "M12 5v11M7.500 11.500L12 16l4.500-4.500M5 19h14",
  cancel: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16M9 9l6 6M15 9l-6 6",
  retry: "M19 12a7 7 0 1 1-2.200-5.100M19 4v4h-4",
  keys: "M3 7h18v10H3zM6 10h.01M9 10h.01M12 10h.01M15 10h.01M18 10h.01M8 14h8",
  remove: "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12M10.500 10.500v5.500M13.500 10.500v5.500",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.500l4.500 4.500L19 7.500",
  warn: "M12 4l8.500 15h-17zM12 10v4M12 16.500h.01",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z",
  back: "M14 6l-6 6 6 6",
  file: "M7 4h7l4 4v12H7zM14 4v4h4",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  user: "M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8M5 20c.500-4 3-6 7-6s6.500 2 7 6",
};

export function icon(name) {
  return svg(
    "svg.icon",
    { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: ICONS[name] }),
  );
}

/** A button that shows an icon and says `label`. */
export function iconButton(name, label, onclick, props) {
  return h(
    "button.icon-button",
    { type: "button", "aria-label": label, title: label, onclick, ...props },
    icon(name),
  );
}

/** @param {any} label
 *  @param {((event: MouseEvent) => void) | null} onclick
 *  @param {{kind?: string, iconName?: string | null, [property: string]: any}} [options] */
export function button(label, onclick, { kind = "", iconName = null, ...props } = {}) {
  return h(
    `button.button${kind ? `.${kind}` : ""}`,
    { type: "button", onclick, ...props },
    iconName && icon(iconName),
    label,
  );
}

export function field(label, control, hint) {
  return h(
    "label.field",
    {},
    h("span.field-label", {}, label),
    control,
    hint && h("span.hint", {}, hint),
  );
}

export function select(options, value, props) {
  return h(
    "select",
    props,
    options.map(([key, label]) =>
      h("option", { value: key, selected: String(key) === String(value) }, label),
    ),
  );
}

export function empty(title, advice, ...actions) {
  return h(
    "div.empty",
    {},
    h("h2", {}, title),
    h("p", {}, advice),
    actions.length ? h("div.row.center", {}, actions) : null,
  );
}

const announcer = () => document.getElementById("announcer");
export function announce(text) {
  const node = announcer();
  node.textContent = "";
  setTimeout(() => (node.textContent = text), 50);
}

let ids = 0;
export const uid = (prefix) => `${prefix}-${++ids}`;
