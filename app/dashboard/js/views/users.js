// Users and their keys, for administrators.

import * as api from "../api.js";
import { announce, button, empty, field, h, iconButton, replace } from "../dom.js";
import { plural, when } from "../format.js";
import { shownOnce, spinner } from "../parts.js";
import { fail } from "../toast.js";

const PAGE = 200;

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
  const days = h("input", { type: "number", min: 1, placeholder: "never" });
  const isAdmin = h("input", { type: "checkbox" });
  const form = h(
    "form.card.form",
    { onsubmit: create },
    field("Name", name, "Lower-case letters, digits, dots, dashes. It never changes."),
    field("Key expires in days", days),
    h("div.form-end", {}, h("label.inline", {}, isAdmin, "Administrator")),
    h("div.form-end", {}, button("Add user", null, { kind: "primary", type: "submit" })),
  );

  const reveal = (made) => {
    replace(
      key,
      shownOnce(
        `The key of ${made.user_id}`,
        made.key,
        "It is shown only once: the service stores only its hash.",
      ),
    );
    announce("The key is shown only once");
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
              "No users",
              "There are no keys yet. They are needed only if AUTH_REQUIRED is set.",
            ),
      ),
    (error) => {
      form.hidden = error.status === 403;
      replace(
        place,
        form.hidden
          ? empty(
              "For administrators",
              "Sign in as an administrator to see users and keys. Create the first one on the server: python -m app users create NAME --admin.",
            )
          : empty(error.title, `${error.message} ${error.remedy}`, button("Try again", load)),
      );
    },
  );

  function card(user) {
    const path = `/api/v1/users/${encodeURIComponent(user.user_id)}`;
    const list = h("ul.plain");
    const label = h("input", {
      maxlength: 100,
      placeholder: "laptop",
      "aria-label": `Label of the new key of ${user.user_id}`,
    });
    const node = h(
      "details",
      { ontoggle: () => node.open && keys() },
      h("summary", {}, "Keys"),
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
        button("New key", null, { type: "submit", iconName: "lock" }),
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
                    each.status === "valid" ? "works" : each.status,
                  ),
                  h("b.clip", {}, each.label || each.key_id),
                  h(
                    "span.muted",
                    {},
                    `used ${when(each.last_used_at)} · expires ${when(each.expires_at)}`,
                  ),
                  each.status === "valid" &&
                    asked(`Revoke ${each.label || each.key_id}`, () =>
                      api
                        .remove(`${path}/keys/${each.key_id}`)
                        .then(() => (announce("The key is revoked"), keys())),
                    ),
                ),
              )
            : h("li.muted", {}, "No keys."),
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
              user.is_admin && "administrator",
              plural(user.valid_keys, "key that works", "keys that work"),
              `since ${when(user.created_at)}`,
            ]
              .filter(Boolean)
              .join(" · "),
          ),
        ),
        user.revoked_at
          ? h("span.badge.off", {}, "revoked")
          : asked(`Revoke ${user.user_id}`, () =>
              api.remove(path).then(() => (announce("The user is revoked"), load())),
            ),
      ),
      node,
    );
  }

  load();
  return {
    title: "Users",
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, "Users")), form, key, place),
    dispose() {},
  };
}

/** A button for an irreversible action, which asks for confirmation. */
function asked(label, act) {
  const first = iconButton("remove", label, () => {
    const no = button("Keep", () => (box.replaceWith(first), first.focus()), { kind: "quiet" });
    const box = h(
      "span.row",
      {},
      button("Revoke permanently", () => act().catch(fail), { "aria-label": `${label} for good` }),
      no,
    );
    first.replaceWith(box);
    no.focus();
  });
  return first;
}
