// Users and their keys, for administrators.

import * as api from "../api.js";
import { announce, button, empty, field, h, replace } from "../dom.js";
import { plural, when } from "../format.js";
import { t } from "../messages.js";
import { shownOnce, spinner } from "../parts.js";
import { fail } from "../toast.js";

const PAGE = 200;
const KEY_STATES = { valid: t("works"), revoked: t("revoked"), expired: t("expired") };

export default function users() {
  const place = h("div", {}, spinner());
  const key = h("div");
  const name = h("input", {
    required: true,
    pattern: "[a-z0-9][a-z0-9._\\-]{0,62}",
    maxlength: 63,
    placeholder: "alice",
    autocapitalize: "none",
  });
  const days = h("input", { type: "number", min: 1, placeholder: t("never") });
  const isAdmin = h("input", { type: "checkbox" });
  const form = h(
    "form.card.form",
    { onsubmit: create },
    field(t("Name"), name, t("Lower-case letters, digits, dots, dashes. It never changes.")),
    field(t("Key expires in days"), days),
    h("div.form-end", {}, h("label.inline", {}, isAdmin, t("Administrator"))),
    h("div.form-end", {}, button(t("Add user"), null, { kind: "primary", type: "submit" })),
  );

  const reveal = (made) => {
    replace(
      key,
      shownOnce(
        t("The key of {name}", { name: made.user_id }),
        made.key,
        t("It is shown only once: the service stores only its hash."),
      ),
    );
    announce(t("The key is shown only once"));
  };

  async function create(event) {
    event.preventDefault();
    try {
      reveal(
        await api.post("/api/v1/users", {
          user_id: name.value.trim(),
          is_admin: isAdmin.checked,
          expires_in_days: days.value ? Number(days.value) : null,
        }),
      );
      form.reset();
      load();
    } catch (error) {
      fail(error);
    }
  }

  async function list() {
    const items = [];
    let after = "";
    do {
      const page = await api.get(api.query("/api/v1/users", { limit: PAGE, after }));
      items.push(...page.items);
      after = page.next_after;
    } while (after);
    return items;
  }

  const load = api.latest(
    list,
    (items) =>
      replace(
        place,
        items.length
          ? h("ul.cards", {}, items.map(card))
          : empty(
              t("No users"),
              t("There are no keys yet. They are needed only if AUTH_REQUIRED is set."),
            ),
      ),
    (error) => {
      form.hidden = error.status === 403;
      replace(
        place,
        form.hidden
          ? empty(
              t("For administrators"),
              t(
                "Sign in as an administrator to see users and keys. An operator creates the first one on the server:",
              ),
              h("pre", { tabindex: 0 }, "granula users create NAME --admin"),
            )
          : empty(
              error.title,
              [error.message, error.remedy].filter(Boolean).join(" "),
              button(t("Try again"), load),
            ),
      );
    },
  );

  function card(user) {
    const path = `/api/v1/users/${encodeURIComponent(user.user_id)}`;
    const list = h("ul.plain");
    const label = h("input", {
      maxlength: 100,
      placeholder: t("laptop"),
      "aria-label": t("Label of the new key of {name}", { name: user.user_id }),
    });
    const node = h(
      "details",
      { ontoggle: () => node.open && keys() },
      h("summary", {}, t("Keys")),
      list,
      h(
        "form.row",
        {
          onsubmit: async (event) => {
            event.preventDefault();
            try {
              reveal(await api.post(`${path}/keys`, { label: label.value.trim() }));
              label.value = "";
              keys();
            } catch (error) {
              fail(error);
            }
          },
        },
        label,
        button(t("New key"), null, { type: "submit", iconName: "lock" }),
      ),
    );

    const keys = api.latest(
      () => api.get(`${path}/keys`),
      ({ items }) =>
        replace(
          list,
          items.length
            ? items.map((each) =>
                h(
                  "li",
                  {},
                  h(
                    `span.badge.${each.status === "valid" ? "ok" : "off"}`,
                    {},
                    KEY_STATES[each.status] ?? each.status,
                  ),
                  h("b.clip", {}, each.label || each.key_id),
                  h(
                    "span.muted",
                    {},
                    t("used {used} · expires {expires}", {
                      used: when(each.last_used_at),
                      expires: when(each.expires_at),
                    }),
                  ),
                  each.status === "valid" &&
                    asked(each.label || each.key_id, () =>
                      api
                        .remove(`${path}/keys/${each.key_id}`)
                        .then(() => (announce(t("The key is revoked")), keys())),
                    ),
                ),
              )
            : h("li.muted", {}, t("No keys.")),
        ),
      fail,
    );

    return h(
      "li.card",
      { "aria-label": user.user_id },
      h(
        "div.row.between",
        {},
        h(
          "div.clip",
          {},
          h("h2.clip", {}, user.user_id),
          h(
            "p.muted",
            {},
            [
              user.is_admin && t("administrator"),
              plural(user.valid_keys, "key that works", "keys that work"),
              t("since {time}", { time: when(user.created_at) }),
            ]
              .filter(Boolean)
              .join(" · "),
          ),
        ),
        user.revoked_at
          ? h("span.badge.off", {}, t("revoked"))
          : asked(user.user_id, () =>
              api.remove(path).then(() => (announce(t("The user is revoked")), load())),
            ),
      ),
      node,
    );
  }

  load();
  return {
    title: t("Users"),
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, t("Users"))), form, key, place),
    dispose() {},
  };
}

/** Returns a button for an irreversible action, which asks for confirmation. */
function asked(name, act) {
  const first = button(t("Revoke"), question, { "aria-label": t("Revoke {name}", { name }) });
  function question() {
    const no = button(t("Keep"), () => (box.replaceWith(first), first.focus()), { kind: "quiet" });
    const box = h(
      "span.row",
      {},
      button(t("Revoke permanently"), () => act().catch(fail), {
        "aria-label": t("Revoke {name} for good", { name }),
      }),
      no,
    );
    first.replaceWith(box);
    no.focus();
  }
  return first;
}
