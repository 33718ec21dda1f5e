/** HTTP to the service: JSON calls, problem bodies and server-sent events. Knows nothing of the page. */

import { saved } from "./state.js";

const BASE = new URL("../", import.meta.url);
const STALL_MS = 40_000; // the server sends a heartbeat about every 15 s

/** A refused or failed request; `message` is readable Korean. */
export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get retryable() { return this.status === 429 || this.status >= 500; }
}

/** The connection broke, or fell silent. */
export class Lost extends Error {}

async function problemOf(response) {
  let body = {};
  try { body = await response.json(); } catch { /* not JSON: the status has to do */ }
  const fallback = `서버가 요청을 처리하지 못했습니다. (오류 ${response.status})`;
  const text = typeof body.detail === "string" ? body.detail : body.title;
  return new Problem(response.status, body.code ?? "", text || fallback);
}

export async function request(path, { method = "GET", headers = {}, body, signal } = {}) {
  const auth = saved.apiKey ? { Authorization: `Bearer ${saved.apiKey}` } : {};
  let response;
  try {
    response = await fetch(new URL(path, BASE), { method, body, signal, headers: { ...auth, ...headers } });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Lost("서버에 연결하지 못했습니다.");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

const json = async (path) => (await request(path, { headers: { Accept: "application/json" } })).json();

export const getSession = (id) => json(`sessions/${encodeURIComponent(id)}`);
export const getFaq = (id) => json(`faqs/${encodeURIComponent(id)}`);
export const getPage = () => json("page.json");
export const deleteSession = (id) => request(`sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
export const getProviders = () => json("providers");
export const stopTurn = (id) => request(`chat/turns/${encodeURIComponent(id)}`, { method: "DELETE" });

const sendJson = (path, method, body) => request(path, {
  method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
});
const feedbackOf = (id) => `chat/turns/${encodeURIComponent(id)}/feedback`;
/** `body`: {rating: "up" | "down", reason?, comment?}. */
export const rateTurn = (id, body) => sendJson(feedbackOf(id), "PUT", body);
export const unrateTurn = (id) => request(feedbackOf(id), { method: "DELETE" });

/** `body`: {contact?, note?}. */
export const handOver = (id, body) => sendJson(`sessions/${encodeURIComponent(id)}/hand-over`, "POST", body);

/** Starts a turn, or finds the one already started under this key. */
export const askTurn = (body, key, signal) => request("chat", {
  method: "POST",
  signal,
  headers: { "Content-Type": "application/json", Accept: "text/event-stream", "Idempotency-Key": key },
  body: JSON.stringify(body),
});

/** The events of a turn after number `after`: those it has, then live. */
export const followTurn = (id, after, signal) => request(`chat/turns/${encodeURIComponent(id)}/events`, {
  signal,
  headers: { Accept: "text/event-stream", ...(after ? { "Last-Event-ID": String(after) } : {}) },
});

/** Yields {id, type, data} from an event stream. Throws `Lost` where it breaks or falls silent. */
export async function* readEvents(response, signal) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await orStall(reader.read(), signal);
      if (done) return;
      buffer += decoder.decode(value, { stream: true });
      const blocks = buffer.split(/\r?\n\r?\n/);
      buffer = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  const event = { id: 0, type: "message", data: null };
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*)(?:: ?([^]*))?$/.exec(line);
    if (field === "data") data.push(value ?? "");
    else if (field === "event") event.type = value;
    else if (field === "id") event.id = Number(value);
  }
  if (!data.length) return null;
  event.data = JSON.parse(data.join("\n"));
  return event;
}

async function orStall(read, signal) {
  let timer;
  const stall = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Lost("응답이 멈췄습니다.")), STALL_MS);
  });
  try {
    return await Promise.race([read, stall]);
  } catch (error) {
    if (signal?.aborted || error instanceof Lost) throw error;
    throw new Lost("연결이 끊겼습니다.");
  } finally {
    clearTimeout(timer);
  }
}
