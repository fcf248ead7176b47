// The API over fetch. Every refusal is a Problem with a title, what happened, and what to do.

import { detailOf, remedyFor } from "./words.js";

export class Problem extends Error {
  constructor(status, body) {
    super(detailOf(body ?? {}) || body?.title || `The service answered ${status}.`);
    this.status = status;
    this.code = body?.code ?? "";
    this.title = body?.title ?? "That did not work";
    this.remedy = remedyFor(body ?? {});
    this.body = body ?? {};
  }
}

export const OFFLINE = {
  title: "The service cannot be reached",
  remedy: "Check that it runs; this page tries again by itself.",
};
const RETRY_MS = 2000;
const [signedOut, signedIn] = [new Set(), new Set()];
let session = 0;

/** Somebody has signed in: refusals of requests from before count no more. */
export function haveSignedIn() {
  session += 1;
  [...signedIn].forEach((listener) => listener());
}

/** Called when the service wants somebody to sign in. */
export const onSignedOut = (listener) => signedOut.add(listener);

/** Called when somebody has signed in again; returns what ends that. */
export function onSignedIn(listener) {
  signedIn.add(listener);
  return () => signedIn.delete(listener);
}

/** The number of the session in which a request begins, and what its status means for it: a 401 ends the session. */
export const sessionNow = () => session;
export function heard(status, begun) {
  if (status === 401 && begun === session) signedOut.forEach((listener) => listener());
}

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
    throw new Problem(0, { ...OFFLINE, detail: "No answer came." });
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
  const given = Object.entries(parameters).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** A page of as many rows as were asked for: an answer with long rows has fewer, and says where to go on. */
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

/** Server-sent events while the page is looked at; a hidden one gives its connection back, since a browser has few.
 *  `handlers` by event name get the parsed data; `onstate(true|false)` tells whether the stream lives. Returns `close`. */
export function live(path, handlers, onstate = () => {}) {
  let source = null;
  let timer = null;
  const open = () => {
    source = new EventSource(path);
    source.onopen = () => onstate(true);
    source.onerror = () => {
      onstate(false);
      // A refusal, as of a service that starts, is final for the browser; it need not be for us.
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
  const stopWaiting = onSignedIn(() => (shut(), turn())); // a refusal for want of a key is not tried again before
  turn();
  return () => {
    stopWaiting();
    document.removeEventListener("visibilitychange", turn);
    shut();
  };
}

/** Loads with `ask` and shows with `show` or `refuse`: only what was asked for last, in whatever order answers come. */
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
