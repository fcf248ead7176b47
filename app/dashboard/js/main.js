// The frame: navigation, theme and router. A view is a module that is loaded when it is first
// opened.

import { get, haveSignedIn, onSignedOut, post, remove } from "./api.js";
import { button, field, h, icon, iconButton, replace } from "./dom.js";
import { loaded } from "./loading.js";
import { fail } from "./toast.js";

const VIEWS = [
  { name: "jobs", label: "Jobs", load: () => import("./views/jobs.js") },
  { name: "tables", label: "Tables", load: () => import("./views/tables.js") },
  { name: "mapping", label: "Mapping", load: () => import("./views/mapping.js") },
  { name: "search", label: "Search", load: () => import("./views/search.js") },
  { name: "schedules", label: "Schedules", load: () => import("./views/schedules.js") },
  { name: "watches", label: "Watches", load: () => import("./views/watches.js") },
  { name: "webhooks", label: "Webhooks", load: () => import("./views/webhooks.js") },
  { name: "system", label: "System", load: () => import("./views/system.js") },
];
/** Views for administrators, linked from their name and from the system view. */
const USERS = { name: "system", load: () => import("./views/users.js") };
const JOB = () => import("./views/job.js");
const main = document.getElementById("main");
let shown = { dispose() {} };
let turn = 0;

function parse() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const decoded = (part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return {
    parts: path.split("/").filter(Boolean).map(decoded),
    params: new URLSearchParams(search),
  };
}

async function route() {
  const { parts, params } = parse();
  const [name = "jobs", id, tab] = parts;
  if (shown.accepts?.({ name, id, tab, params })) return;
  const mine = ++turn;
  const view = name === "users" ? USERS : (VIEWS.find((each) => each.name === name) ?? VIEWS[0]);
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#nav a"))) {
    if (link.dataset.view === view.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const module = await loaded(
    name === "jobs" && id ? JOB : view.load,
    (node) => mine === turn && show({ node, title: "Not available" }),
    () => mine === turn && route(),
  );
  if (!module || mine !== turn) return;
  show(module.default({ id, tab, params }));
}

/** Replaces the current view. */
function show(view) {
  const first = shown.node === undefined;
  shown.dispose?.();
  shown = view;
  replace(main, shown.node);
  document.title = `${shown.title} · Granula`;
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

let known = null;
/** Properties of the service, requested once for each visit. */
export const system = () =>
  (known ??= get("/api/v1/system").catch((error) => ((known = null), Promise.reject(error))));

function toggleTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("granula.theme", root.dataset.theme);
  } catch {
    /* not stored: it holds for this visit */
  }
}

replace(
  document.getElementById("nav"),
  VIEWS.map(({ name, label }) =>
    h("a", { href: `#/${name}`, "data-view": name }, icon(name), h("span", {}, label)),
  ),
);
const account = h("div.row.tight");
document
  .getElementById("tools")
  .append(account, iconButton("theme", "Switch between light and dark", toggleTheme));
document.getElementById("skip").addEventListener("click", () => main.focus());
// A file dropped outside of the drop zone must not replace the page.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());
addEventListener("hashchange", route);

let me = null;

/** Asks for a key if the service requires a sign-in. The key opens a session, a cookie that
 *  scripts cannot read. The page stays as it is behind the question, with all that was written
 *  in it. */
function signIn() {
  if (document.querySelector("dialog.sign-in")) return;
  const key = h("input", {
    type: "password",
    required: true,
    autocomplete: "current-password",
    maxlength: 200,
  });
  const wrong = h("p.bad-text", { role: "alert" });
  const dialog = h(
    "dialog.card.sign-in",
    { "aria-label": "Sign in", oncancel: (event) => event.preventDefault() },
    h(
      "form",
      {
        onsubmit: async (event) => {
          event.preventDefault();
          try {
            const before = me;
            await post("/api/v1/session", { key: key.value });
            me = await get("/api/v1/me");
            // The page and pending uploads belong to the previous user.
            if (before && before.user_id !== me.user_id) return location.reload();
            known = null;
            haveSignedIn();
            dialog.remove();
            showAccount();
            if (!before) leave();
          } catch (error) {
            replace(wrong, `${error.message} ${error.remedy}`);
            key.select();
          }
        },
      },
      h("h2", {}, "Sign in"),
      field("Your key", key, "Ask the operator of this service for one."),
      wrong,
      button("Sign in", null, { kind: "primary", type: "submit" }),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  key.focus();
}

function leave() {
  shown.dispose?.();
  shown = { node: null, dispose() {} };
  route();
}

async function whoami() {
  me = await get("/api/v1/me").catch(() => null);
  showAccount();
}

function showAccount() {
  if (!me?.is_signed_in) return replace(account);
  replace(
    account,
    me.is_admin
      ? h("a.clip", { href: "#/users", title: "Users and keys" }, me.user_id)
      : h("span.muted.clip", { title: me.user_id }, me.user_id),
    iconButton("user", `Sign out ${me.user_id}`, () =>
      remove("/api/v1/session").then(() => location.reload(), fail),
    ),
  );
}
onSignedOut(signIn);

route();
whoami();
