/** Past conversations, kept in this browser: their ids and first questions; the server keeps the rest. */

import { deleteSession } from "./api.js";
import { $, announce, h, icon, timeOf } from "./dom.js";

const KEY = "smartstore.past";
const MOST = 30;

function read() {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? []; } catch { return []; }
}

function write(list) {
  try { localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST))); } catch { /* private mode: none kept */ }
}

/** Puts a conversation first in the list; its title stays its first question. */
export function remember(id, question) {
  const list = read();
  const known = list.find((each) => each.id === id);
  const entry = { id, title: known?.title ?? question.slice(0, 80), at: Date.now() };
  write([entry, ...list.filter((each) => each.id !== id)]);
}

export function forget(id) { write(read().filter((each) => each.id !== id)); }

/** The list in a dialog. `actions`: {open(id), removed(id)}. */
export class PastList {
  #actions;

  constructor(actions) {
    this.#actions = actions;
    this.dialog = $("past-dialog");
    $("past").addEventListener("click", () => { this.show(); this.dialog.showModal(); });
    $("past-close").addEventListener("click", () => this.dialog.close());
  }

  show() {
    const items = read().map((each) => h("li", {},
      h("button", { class: "past-open", type: "button", onclick: () => { this.dialog.close(); this.#actions.open(each.id); } },
        h("span", {}, each.title), timeOf(new Date(each.at))),
      h("button", { class: "tool", type: "button", "aria-label": `지우기: ${each.title}`, onclick: () => this.#remove(each) }, icon("close"))));
    const none = h("li", { class: "quiet" }, "이 브라우저에 남은 대화가 없어요.");
    $("past-list").replaceChildren(...(items.length ? items : [none]));
  }

  async #remove({ id, title }) {
    try {
      await deleteSession(id);
    } catch (error) {
      if (error.status !== 404) return announce(`지우지 못했습니다. ${error.message}`);
    }
    forget(id);
    this.show();
    this.#actions.removed(id);
    announce(`지웠습니다: ${title}`);
  }
}
