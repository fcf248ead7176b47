// The API over fetch. Every error is a Problem with a title, what happened, and a remedy.

import { t } from "./messages.js";
import { detailOf, remedyFor } from "./words.js";

export class Problem extends Error {
  constructor(status, body) {
    super(
      detailOf(body ?? {}) || body?.title || t("The service responded with {status}.", { status }),
    );
    this.status = status;
    this.code = body?.code ?? "";
    this.title = body?.title ?? t("The request failed");
    this.remedy = remedyFor(body ?? {});
    this.body = body ?? {};
  }
}

export const OFFLINE = {
  title: t("The service is unreachable"),
  remedy: t("Check that it runs; this page retries automatically."),
};
const RETRY_MS = 2000;
const [signedOut, signedIn] = [new Set(), new Set()];
let session = 0;

/** Record a sign-in: errors of earlier requests no longer count. */
export function haveSignedIn() {
  session += 1;
  [...signedIn].forEach((listener) => listener());
}

/** Set the callback for when the service requires a sign-in. */
export const onSignedOut = (listener) => signedOut.add(listener);

/** Call `handler` after each sign-in; returns a function that stops this. */
export function onSignedIn(listener) {
  signedIn.add(listener);
  return () => signedIn.delete(listener);
}

/** Returns the session number of a request, and a check of its status: a 401 ends the session. */
export const sessionNow = () => session;
export function heard(status, begun) {
  if (status === 401 && begun === session) signedOut.forEach((listener) => listener());
}

/** @typedef {{json?: unknown, body?: BodyInit, headers?: Record<string, string>,
 *    signal?: AbortSignal, keepalive?: boolean}} RequestOptions */

/** Returns the JSON or the text of the answer; null if it has none.
 *  @param {string} method
 *  @param {string} path
 *  @param {RequestOptions} [options] */
export async function request(method, path, { json, body, headers, signal, keepalive } = {}) {
  const begun = session;
  let answer;
  try {
    answer = await fetch(path, {
      method,
      body: json === undefined ? body : JSON.stringify(json),
      headers: {
        Accept: "application/json",
        ...(json === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      credentials: "same-origin",
      signal,
      keepalive,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { ...OFFLINE, detail: t("There was no response.") });
  }
  heard(answer.status, begun);
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => null));
  if (answer.status === 204) return null;
  return answer.headers.get("content-type")?.includes("json") ? answer.json() : answer.text();
}

export const get = (path, options) => request("GET", path, options);
export const post = (path, json, options) => request("POST", path, { json, ...options });
export const patch = (path, json) => request("PATCH", path, { json });
export const remove = (path, options) => request("DELETE", path, options);

export function query(path, parameters) {
  const values = Object.entries(parameters).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  return values.length ? `${path}?${new URLSearchParams(values)}` : path;
}

/** Reads a page of the requested number of rows. A response with long rows has fewer, and tells
 *  where to continue.
 *  @param {string} path
 *  @param {{limit: number, offset?: number, [name: string]: any}} parameters */
export async function rows(path, { limit, offset, ...parameters }) {
  const page = await get(query(path, { ...parameters, limit, offset }));
  while (page.items.length < limit && page.next_after !== null) {
    const more = await get(
      query(path, { ...parameters, limit: limit - page.items.length, after: page.next_after }),
    );
    page.items.push(...more.items);
    page.next_after = more.next_after;
  }
  return page;
}

/** Server-sent events while the page is visible. A hidden page closes its connection, since a
 *  browser has few. `handlers` by event name get the parsed data; `onstate(true|false)` tells
 *  whether the stream is open. Returns `close`.
 *  @param {string} path
 *  @param {Record<string, (data: any) => void>} handlers
 *  @param {(isOpen: boolean) => void} [onstate] */
export function live(path, handlers, onstate = () => {}) {
  let source = null;
  let timer = null;
  const open = () => {
    source = new EventSource(path);
    source.onopen = () => onstate(true);
    source.onerror = () => {
      onstate(false);
      // The browser gives up after an error response, such as a 503 during the start; we retry.
      if (source?.readyState !== EventSource.CLOSED) return;
      shut();
      timer = setTimeout(
        () =>
          get("/api/v1/system").then(
            turn,
            (error) => error.status !== 401 && (timer = setTimeout(turn, RETRY_MS)),
          ),
        RETRY_MS,
      );
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
  };
  const shut = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const turn = () => (document.hidden ? shut() : (source ?? open()));
  document.addEventListener("visibilitychange", turn);
  const stopWaiting = onSignedIn(() => (shut(), turn())); // after a 401, retry only once signed in
  turn();
  return () => {
    stopWaiting();
    document.removeEventListener("visibilitychange", turn);
    shut();
  };
}

/** Loads with `ask` and shows with `show` or `refuse`: only the latest request counts, in
 *  whatever order responses arrive. */
export function latest(ask, show, refuse) {
  let turn = 0;
  return async () => {
    const mine = ++turn;
    const [settled] = await Promise.allSettled([ask()]);
    if (mine !== turn) return;
    if (settled.status === "fulfilled") show(settled.value);
    else refuse(settled.reason);
  };
}
