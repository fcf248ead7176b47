// The frame: navigation, theme and router. A view is a module that is loaded when it is first
// opened.

import { get, haveSignedIn, onSignedOut, post, remove } from "./api.js";
import { button, field, h, icon, iconButton, replace } from "./dom.js";
import { forgetAll } from "./jobs/refused.js";
import { loaded } from "./loading.js";
import { menu } from "./menu.js";
import { t } from "./messages.js";
import { fail } from "./toast.js";

const VIEWS = [
  { name: "jobs", label: t("Jobs"), load: () => import("./views/jobs.js") },
  { name: "tables", label: t("Tables"), load: () => import("./views/tables.js") },
  { name: "mapping", label: t("Mapping"), load: () => import("./views/mapping.js") },
  { name: "search", label: t("Search"), load: () => import("./views/search.js") },
  { name: "schedules", label: t("Schedules"), load: () => import("./views/schedules.js") },
  { name: "watches", label: t("Watches"), load: () => import("./views/watches.js") },
  { name: "webhooks", label: t("Webhooks"), load: () => import("./views/webhooks.js") },
  { name: "system", label: t("System"), load: () => import("./views/system.js") },
];
/** So many are in the bar of a phone; app.css hides the others there. */
const VIEWS_ON_A_PHONE = 4;
/** Views for administrators, linked from their name and from the system view. */
const USERS = { name: "system", load: () => import("./views/users.js") };
const JOB = () => import("./views/job.js");
const main = document.getElementById("main");
/** @type {{title?: string, node?: any, dispose?: () => void, accepts?: (to: any) => boolean}} */
let shown = {};
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

/** Ids of the jobs whose numbers were addresses. */
const jobIds = new Map();

/** Returns the id of the job in `#/jobs/55`; anything else unchanged. */
async function jobId(name, id) {
  if (name !== "jobs" || !/^[1-9]\d*$/.test(id ?? "")) return id;
  if (!jobIds.has(id)) {
    const job = await get(`/api/v1/jobs/${id}`).catch(() => null);
    if (!job) return id; // the view says that there is no such job
    jobIds.set(id, job.job_id);
  }
  return jobIds.get(id);
}

async function route() {
  const { parts, params } = parse();
  const [name = "jobs", address, tab] = parts;
  const before = location.hash;
  const id = await jobId(name, address);
  if (location.hash !== before) return; // another address was opened meanwhile
  if (shown.accepts?.({ name, id, tab, params })) return;
  const mine = ++turn;
  const view = name === "users" ? USERS : VIEWS.find((each) => each.name === name);
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#nav a"))) {
    if (link.dataset.view === view?.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const isAmongOthers = VIEWS.some(({ name }, at) => name === view?.name && at >= VIEWS_ON_A_PHONE);
  otherViews.classList.toggle("holds-current", isAmongOthers);
  if (!view) return show(nothingHere(parts));
  const module = await loaded(
    name === "jobs" && id ? JOB : view.load,
    (node) => mine === turn && show({ node, title: t("Not available") }),
    () => mine === turn && route(),
  );
  if (!module || mine !== turn) return;
  show(module.default({ id, tab, params }));
}

/** Returns the view of an address that leads nowhere. */
function nothingHere(address) {
  return {
    title: t("Not found"),
    node: h(
      "div.page",
      {},
      h(
        "div.empty",
        {},
        h("h1", {}, t("There is nothing here")),
        h(
          "p",
          {},
          t("The address {address} leads nowhere. Perhaps it was shortened or mistyped.", {
            address: `/${address.join("/")}`,
          }),
        ),
        h(
          "div.row.center",
          {},
          h("a.button.primary", { href: "#/jobs" }, t("To the jobs")),
          h("a.button", { href: "/guide/" }, t("Manual")),
        ),
      ),
    ),
  };
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

const linksTo = (views) =>
  views.map(({ name, label }) =>
    h("a", { href: `#/${name}`, "data-view": name }, icon(name), h("span", {}, label)),
  );
/** On a phone: the views that have no room in the bar. */
const otherViews = menu(
  [icon("more"), h("span", {}, t("Menu"))],
  linksTo(VIEWS.slice(VIEWS_ON_A_PHONE)),
);
otherViews.classList.add("nav-more");
replace(document.getElementById("nav"), linksTo(VIEWS), otherViews);
const account = h("div.row.tight");
const link = (href, name, label) =>
  h("a.icon-button", { href, "aria-label": label, title: label }, icon(name));
document
  .getElementById("tools")
  .append(
    account,
    link("/guide/", "manual", t("Manual")),
    link("/docs", "api", t("API reference")),
    iconButton("theme", t("Switch between light and dark"), toggleTheme),
  );
const skip = document.getElementById("skip");
skip.textContent = t("Skip to content");
skip.addEventListener("click", () => main.focus());
document.getElementById("nav").setAttribute("aria-label", t("Main"));
document.getElementById("toasts").setAttribute("aria-label", t("Messages"));
document.querySelector(".brand").setAttribute("aria-label", t("Granula, to the jobs"));
// A file dropped outside of the drop zone must not replace the page.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());
addEventListener("hashchange", () => {
  // A dialog belongs to the page that it was opened on.
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  route();
});

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
  // A page that has shown nothing yet has nothing to keep behind the question.
  document.body.classList.toggle("signed-out", me === null);
  document.title = `${t("Sign in")} · Granula`;
  const dialog = h(
    "dialog.card.sign-in",
    { "aria-label": t("Sign in"), oncancel: (event) => event.preventDefault() },
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
            document.body.classList.remove("signed-out");
            if (shown.title) document.title = `${shown.title} · Granula`;
            showAccount();
            if (!before) leave();
          } catch (error) {
            replace(wrong, [error.message, error.remedy].filter(Boolean).join(" "));
            key.select();
          }
        },
      },
      h("h2", {}, t("Sign in")),
      field(t("Your key"), key, t("Ask the operator of this service for one.")),
      wrong,
      button(t("Sign in"), null, { kind: "primary", type: "submit" }),
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
  document.body.classList.remove("starting");
  showAccount();
}

function showAccount() {
  if (!me?.is_signed_in) return replace(account);
  replace(
    account,
    me.is_admin
      ? h("a.clip", { href: "#/users", title: t("Users and keys") }, me.user_id)
      : h("span.muted.clip", { title: me.user_id }, me.user_id),
    iconButton("user", t("Sign out {name}", { name: me.user_id }), () =>
      remove("/api/v1/session").then(() => (forgetAll(), location.reload()), fail),
    ),
  );
}
onSignedOut(signIn);

// The service answers every unknown address with this page: take it for one of this page's own.
if (location.pathname !== "/") history.replaceState(null, "", `/#${location.pathname}`);
route();
whoami();
