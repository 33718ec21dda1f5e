/** The question box: grows, counts, refuses what the server would refuse, sends, stops. */

import { $, announce } from "./dom.js";

const LIMIT = 2000; // characters, as the server counts them (code points)
const WARN_AT = 1800;

export class Composer {
  #busy = false;
  #actions;

  /** `actions`: {send(question), stop()}. */
  constructor(actions) {
    this.#actions = actions;
    this.box = $("question");
    this.button = $("send");
    this.counter = $("counter");
    this.box.addEventListener("input", () => this.#check());
    this.box.addEventListener("keydown", (event) => this.#onKey(event));
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#busy) this.#actions.stop();
      else this.#send();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#busy && !event.isComposing && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        this.#actions.stop();
      }
    });
    this.#check();
  }

  /** While an answer is written the one button stops it. */
  set busy(busy) {
    this.#busy = busy;
    this.button.classList.toggle("stop", busy);
    this.button.setAttribute("aria-label", busy ? "멈추기" : "보내기");
    this.button.querySelector("use").setAttribute("href", busy ? "#i-stop" : "#i-send");
    this.#check();
  }

  get empty() { return !this.box.value.trim(); }

  focus() { this.box.focus({ preventScroll: true }); }

  put(text) {
    this.box.value = text;
    this.#check();
  }

  #onKey(event) {
    // 229: the Enter that ends a Hangul composition in Safari, where isComposing is already false.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!this.#busy) this.#send();
  }

  #send() {
    const question = this.box.value.trim();
    if (!question) return this.focus();
    const over = lengthOf(question) - LIMIT;
    if (over > 0) return announce(`질문이 ${over}자 깁니다. ${LIMIT.toLocaleString("ko")}자까지 보낼 수 있어요.`);
    this.put("");
    this.#actions.send(question);
  }

  #check() {
    const length = lengthOf(this.box.value.trim());
    const over = length > LIMIT;
    const count = `${length.toLocaleString("ko")} / ${LIMIT.toLocaleString("ko")}자`;
    this.counter.textContent = over ? `${count} · 조금 줄여 주세요` : length >= WARN_AT ? count : "";
    this.counter.classList.toggle("over", over);
    this.box.setAttribute("aria-invalid", String(over));
    this.button.setAttribute("aria-disabled", String(!this.#busy && (!length || over)));
    if (!CSS.supports("field-sizing", "content")) {
      this.box.style.height = "auto";
      this.box.style.height = `${this.box.scrollHeight}px`;
    }
  }
}

const lengthOf = (text) => [...text].length;
