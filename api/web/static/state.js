/** What survives a reload, in this tab: the session, the turn under way, the chosen provider.
 *
 * `pending` is {key, body, turnId, lastId, askedAt}: enough to ask again under the same Idempotency-Key
 * when the reload came before the first event, and to resume by turn id after it.
 */

const KEY = "smartstore.chat";
const PROVIDER = "smartstore.provider";

function read() {
  try { return JSON.parse(sessionStorage.getItem(KEY)) ?? {}; } catch { return {}; }
}

const state = { sessionId: null, pending: null, apiKey: null, ...read() };

function write() {
  try { sessionStorage.setItem(KEY, JSON.stringify(state)); } catch { /* no storage: this page only */ }
}

export const saved = {
  get sessionId() { return state.sessionId; },
  set sessionId(value) { state.sessionId = value; write(); },
  get pending() { return state.pending; },
  set pending(value) { state.pending = value; write(); },
  get apiKey() { return state.apiKey; },
  set apiKey(value) { state.apiKey = value; write(); },

  get provider() {
    try { return localStorage.getItem(PROVIDER); } catch { return null; }
  },
  set provider(value) {
    try { localStorage.setItem(PROVIDER, value); } catch { /* no storage: this page only */ }
  },

  /** Forgets the conversation, not the choices. */
  clear() { state.sessionId = null; state.pending = null; write(); },
};
