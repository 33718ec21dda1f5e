/** Two thumbs under an answer; a thumb down may say why. Knows one turn's id, and the call that keeps it. */

import { rateTurn, unrateTurn } from "./api.js";
import { announce, h, icon } from "./dom.js";

const REASONS = [
  ["wrong", "틀렸어요"], ["incomplete", "내용이 부족해요"], ["not_what_i_asked", "다른 질문에 대한 답이에요"],
  ["outdated", "예전 내용이에요"], ["other", "그 밖의 이유"],
];

export class Rating {
  #turnId;
  #rating = null;
  #reason = "";

  constructor(turnId, rating = null) {
    this.#turnId = turnId;
    this.up = this.#thumb("up", "도움이 됐어요");
    this.down = this.#thumb("down", "아쉬워요");
    this.buttons = h("span", { class: "thumbs", role: "group", "aria-label": "답변 평가" }, this.up, this.down);
    this.panel = h("div", { class: "why", hidden: true });
    this.#show(rating);
  }

  #thumb(rating, label) {
    return h("button", {
      class: "chip", type: "button", "aria-label": label, title: label, "aria-pressed": "false", onclick: () => this.#press(rating),
    }, icon(`thumb-${rating}`));
  }

  /** The pressed thumb again takes it back. */
  async #press(rating) {
    if (this.#rating === rating) {
      if (!await this.#keep(() => unrateTurn(this.#turnId))) return;
      this.#show(null);
      return announce("평가를 지웠습니다.");
    }
    this.#reason = "";
    if (!await this.#keep(() => rateTurn(this.#turnId, { rating }))) return;
    this.#show(rating);
    if (rating === "down") this.#ask();
    announce(rating === "up" ? "도움이 됐다고 남겼습니다." : "아쉽다고 남겼습니다. 이유를 골라 줄 수 있어요.");
  }

  #show(rating) {
    this.#rating = rating;
    for (const [name, button] of [["up", this.up], ["down", this.down]]) {
      button.setAttribute("aria-pressed", String(name === rating));
      button.classList.toggle("ok", name === rating);
    }
    if (rating !== "down") this.panel.hidden = true;
  }

  #ask() {
    const reasons = REASONS.map(([name, label]) => h("button", {
      class: "chip", type: "button", "aria-pressed": "false", onclick: (event) => this.#because(name, event.currentTarget),
    }, label));
    const id = `why-${this.#turnId}`;
    const comment = h("input", { id, maxlength: "2000", autocomplete: "off", placeholder: "더 알려 주실 내용(선택)" });
    const send = h("button", { class: "chip", type: "submit" }, "남기기");
    const form = h("form", { onsubmit: (event) => { event.preventDefault(); this.#say(comment.value); } },
      h("label", { class: "sr", for: id }, "더 알려 주실 내용"), comment, send);
    this.panel.replaceChildren(h("p", {}, "무엇이 아쉬웠나요?"),
      h("div", { class: "tools-row", role: "group", "aria-label": "아쉬운 이유" }, ...reasons), form);
    this.panel.hidden = false;
  }

  async #because(reason, button) {
    if (!await this.#keep(() => rateTurn(this.#turnId, { rating: "down", reason }))) return;
    this.#reason = reason;
    for (const each of button.parentNode.children) {
      each.setAttribute("aria-pressed", String(each === button));
      each.classList.toggle("ok", each === button);
    }
    announce("이유를 남겼습니다.");
  }

  async #say(comment) {
    if (!comment.trim()) return;
    if (!await this.#keep(() => rateTurn(this.#turnId, { rating: "down", reason: this.#reason, comment: comment.trim() }))) return;
    this.panel.replaceChildren(h("p", { role: "status" }, "고맙습니다. 의견을 남겼어요."));
  }

  async #keep(action) {
    try {
      await action();
      return true;
    } catch (error) {
      this.panel.replaceChildren(h("p", { role: "alert" }, `평가를 남기지 못했어요. ${error.message}`));
      this.panel.hidden = false;
      return false;
    }
  }
}
