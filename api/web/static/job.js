/** One turn on the wire: asks, follows, resumes after a lost connection, stops. Knows no elements. */

import { askTurn, followTurn, Lost, Problem, readEvents, stopTurn } from "./api.js";
import { saved } from "./state.js";

const ATTEMPTS = 8;
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8_000;
const STOP_GRACE_MS = 3_000;
const AWAY = [502, 503, 504];

export class Job {
  #abort = new AbortController();
  #wantStop = false;

  /** `pending`: {key, body, turnId, lastId, askedAt} as kept in `saved`; `view` takes events and news. */
  constructor(pending, view) {
    this.pending = pending;
    this.view = view;
  }

  /** Runs to the end of the turn. Resolves to "done", "lost" (worth another run) or "left". */
  async run() {
    this.#remember();
    for (let attempt = 0; attempt < ATTEMPTS;) {
      const before = this.pending.lastId;
      try {
        if (await this.#follow()) return this.#finish();
        throw new Lost("연결이 끊겼습니다.");
      } catch (error) {
        if (this.#abort.signal.aborted) return "left";
        if (!this.#recoverable(error)) {
          this.#forget();
          this.refusedWith = error.status;
          this.view.fail(messageOf(error), { retryable: !(error instanceof Problem) || error.retryable });
          return "done";
        }
      }
      attempt = this.pending.lastId > before ? 1 : attempt + 1;
      this.view.reconnecting(attempt);
      await pause(Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), LONGEST_WAIT_MS), this.#abort.signal);
      if (this.#abort.signal.aborted) return "left";
    }
    this.view.fail("서버에 다시 연결하지 못했습니다. 연결을 확인하고 다시 시도해 주세요.", { retryable: true });
    return "lost";
  }

  /** Asks the server to stop; gives up waiting for its last event after a moment. */
  async stop() {
    if (this.#wantStop) return;
    this.#wantStop = true;
    this.view.stopping();
    if (this.pending.turnId) stopTurn(this.pending.turnId).catch(() => {});
    setTimeout(() => {
      if (this.view.done || this.#abort.signal.aborted) return;
      this.#forget();
      this.view.halt();
      this.#abort.abort();
    }, STOP_GRACE_MS);
  }

  /** Stops the turn and looks no further. */
  leave() {
    if (this.pending.turnId) stopTurn(this.pending.turnId).catch(() => {});
    this.#abort.abort();
  }

  async #follow() {
    const { signal } = this.#abort;
    const { turnId, lastId, body, key } = this.pending;
    const response = turnId ? await followTurn(turnId, lastId, signal) : await askTurn(body, key, signal);
    this.#learn(response.headers.get("X-Turn-Id"), response.headers.get("X-Session-Id"));
    for await (const event of readEvents(response, signal)) {
      if (event.id && event.id <= this.pending.lastId) continue;
      this.pending.lastId = event.id || this.pending.lastId;
      if (event.type === "turn.started") this.#learn(event.data.turn_id, event.data.session_id);
      if (this.view.apply(event)) return true;
    }
    return false;
  }

  #learn(turnId, sessionId) {
    if (sessionId && saved.sessionId !== sessionId) saved.sessionId = sessionId;
    if (!turnId || this.pending.turnId === turnId) return;
    this.pending.turnId = turnId;
    this.#remember();
    if (this.#wantStop) stopTurn(turnId).catch(() => {});
  }

  // A question that was refused is the seller's to ask again; a turn that runs is ours to find again.
  #recoverable(error) {
    if (error instanceof Problem) return Boolean(this.pending.turnId) && AWAY.includes(error.status);
    return error instanceof Lost;
  }

  #remember() { saved.pending = { ...this.pending, lastId: 0 }; }

  #forget() { saved.pending = null; }

  #finish() {
    this.#forget();
    return "done";
  }
}

function messageOf(error) {
  if (error instanceof Problem && error.status === 404) return "이 답변은 더 이상 남아 있지 않습니다. 다시 물어봐 주세요.";
  if (error instanceof Problem) return error.message;
  console.error(error);
  return "답변을 보여 드리지 못했습니다. 다시 시도해 주세요.";
}

/** Waits, but no longer than until the network is back or the page is looked at again. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      document.removeEventListener("visibilitychange", end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
    document.addEventListener("visibilitychange", end);
    signal.addEventListener("abort", end);
  });
}
