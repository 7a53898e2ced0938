// Requests to the gateway that the page came from. Errors are `Problem`s with the status and the
// detail that the gateway gave (RFC 9457).

import { t } from "./i18n.js";

export class Problem extends Error {
  constructor(status, detail, body = {}) {
    super(detail);
    this.status = status;
    this.body = body;
  }
}

let csrf = "";
let onUnauthorized = () => {};
export function whenUnauthorized(call) {
  onUnauthorized = call;
}

function target(path, query) {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") parameters.set(key, String(value));
  }
  const text = parameters.toString();
  return `/api/v1${path}${text ? `?${text}` : ""}`;
}
export function link(path, query) {
  return target(path, query);
}

async function problemOf(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    // A proxy between us answers as it likes.
  }
  return new Problem(answer.status, body.detail || body.title || answer.statusText, body);
}

async function send(method, path, { query, body, signal, raw = false, quiet = false } = {}) {
  const headers = { Accept: "application/json, application/problem+json, */*;q=0.1" };
  if (method !== "GET") {
    if (csrf) headers["X-Ringgate-CSRF"] = csrf;
    if (method !== "DELETE" || body !== undefined) headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(target(path, query), { method, headers, signal, cache: "no-store",
      credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, t("The gateway can't be reached."));
  }
  if (!answer.ok) {
    const problem = await problemOf(answer);
    if (answer.status === 401 && !quiet) onUnauthorized();
    throw problem;
  }
  if (raw) return answer;
  const text = await answer.text();
  if (text === "") return null;
  return JSON.parse(text);
}

export const get = (path, query, options) => send("GET", path, { query, ...options });
export const post = (path, body = {}, query, options) =>
  send("POST", path, { query, body, ...options });
export const put = (path, body = {}, query) => send("PUT", path, { query, body });
export const del = (path, query) => send("DELETE", path, { query });

// Who we are here: {name, scopes, csrf, ...}. Null: credentials are needed and we have none.
export async function whoami() {
  try {
    const found = await send("GET", "/whoami", { quiet: true });
    csrf = found?.csrf ?? "";
    return found;
  } catch (problem) {
    if (problem.status === 401 || problem.status === 403) return null;
    throw problem;
  }
}
export async function login(token) {
  await send("POST", "/login", { body: { token }, quiet: true });
  return whoami();
}
export async function logout() {
  await send("POST", "/logout", { body: {}, quiet: true });
  csrf = "";
}

// The page's own settings.
export async function pageConfig() {
  const answer = await fetch("/page/config.json", { cache: "no-store" });
  return answer.ok ? answer.json() : {};
}

// Calls `work` again and again, `every_ms` after it has ended, while the page is seen. Errors go to
// `failed`. Returns what stops it.
export function repeat(every_ms, work, failed = () => {}) {
  const abort = new AbortController();
  let timer = 0;
  let running = false;
  const next = async () => {
    clearTimeout(timer);
    if (abort.signal.aborted || running) return;
    if (document.hidden) return;
    running = true;
    try {
      await work(abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) failed(error);
    }
    running = false;
    if (!abort.signal.aborted) timer = setTimeout(next, every_ms);
  };
  document.addEventListener("visibilitychange", next, { signal: abort.signal });
  next();
  const stop = () => {
    abort.abort();
    clearTimeout(timer);
  };
  stop.now = next;
  return stop;
}
