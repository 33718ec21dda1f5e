/** One turn on the page: the question, the answer as its events arrive, sources, follow-ups.
 *
 * `apply(event)` is all it needs, live or replayed. Knows no HTTP and no other turn.
 */

import { contactLine } from "./contact.js";
import { announce, calm, h, icon, timeOf } from "./dom.js";
import { Rating } from "./rating.js";
import { SourceList } from "./sources.js";
import { plainText, RichText } from "./text.js";

export class TurnView {
  #text = "";
  #frame = 0;
  #suggestions = [];
  #verdict = "";
  #standalone = null;
  #actions;

  /** `actions`: {ask(question), retry(view)}; `models`: whether to name the model that answers. */
  constructor({ question, askedAt = new Date(), actions, models = false }) {
    this.question = question;
    this.askedAt = askedAt;
    this.done = false;
    this.#actions = actions;
    this.models = models;
    this.sources = new SourceList();
    this.status = h("span", { class: "status" });
    this.model = h("span", { class: "model", hidden: true });
    this.body = h("div", { class: "rich body" });
    this.foot = h("div", { class: "foot" });
    this.rich = new RichText(this.body, (n) => this.sources.citation(n));
    this.element = h("article", { class: "turn", tabindex: "-1", "aria-busy": "true" },
      h("div", { class: "ask" }, h("h2", { class: "bubble" }, question), timeOf(askedAt)),
      h("div", { class: "reply" },
        h("div", { class: "reply-head" },
          h("span", { class: "mark" }, icon("mark")), h("span", { class: "who" }, "도우미"), this.model, this.status),
        this.body, this.foot));
    this.#say("질문을 보내고 있어요", true);
  }

  /** Shows one event; true when it was the last. */
  apply({ type, data }) {
    switch (type) {
      case "turn.started": this.turnId = data.turn_id; this.#name(data.provider); this.#say("FAQ를 찾고 있어요", true); break;
      case "question.rewritten": this.#standalone = data.standalone; break;
      case "sources": this.sources.set(data.sources); this.#say(`FAQ ${data.sources.length}개를 읽고 있어요`, true); break;
      case "delta": this.#grow(data.text); break;
      case "provider.switched": this.#restart(data); break;
      case "suggestions": this.#suggestions = data.suggestions; break;
      case "turn.completed": this.#complete(data); return true;
      case "error": this.fail(data.message, { retryable: data.retryable }); return true;
    }
    return false;
  }

  /** Shows a finished turn of GET /sessions/{id}. */
  restore(turn, rating = null) {
    this.turnId = turn.turn_id;
    this.rated = rating;
    this.#name(turn.provider);
    this.#standalone = turn.standalone && turn.standalone !== turn.question ? turn.standalone : null;
    this.sources.set(turn.sources ?? []);
    this.#suggestions = turn.suggestions ?? [];
    if (turn.status === "failed") {
      this.#text = turn.answer ?? "";
      this.fail(turn.error?.message ?? "답변이 끝나지 못했습니다. 다시 물어봐 주세요.", { retryable: true, quiet: true });
    } else {
      this.#complete({ ...turn, stopped: turn.stopped || turn.status === "stopped" }, { quiet: true });
    }
  }

  reconnecting(attempt = 1) {
    const long = attempt > 3;
    const away = navigator.onLine ? "서버에 아직 연결되지 않아요. 계속 시도하고 있어요" : "지금은 오프라인이에요. 연결되면 이어서 답할게요";
    this.#say(long ? away : "연결이 끊겨 다시 잇고 있어요", true);
  }

  stopping() { this.#say("멈추고 있어요", true); }

  /** Ends the turn with what it has, for a stop that the server did not confirm. */
  halt() { this.#complete({ answer: this.#text, verdict: "answered", citations: [], stopped: true }); }

  fail(message, { retryable = false, quiet = false } = {}) {
    this.#end();
    this.#say("");
    const box = h("div", { class: "failure", role: quiet ? undefined : "alert" }, icon("alert"), h("p", {}, message));
    if (retryable) box.append(this.#again("다시 시도"));
    this.foot.replaceChildren(box);
  }

  #grow(text) {
    if (!this.#text) this.#say("답하고 있어요", true);
    this.#text += text;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.rich.set(this.#text, false);
    });
  }

  #restart({ from, to }) {
    this.#text = "";
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.rich.set("");
    this.#name(to);
    const how = from === to ? "처음부터 다시" : "다른 모델로 다시";
    this.#say(`${how} 답하고 있어요`, true);
    announce(`앞의 답변을 지우고 ${how} 답하고 있어요.`);
  }

  #complete(data, { quiet = false } = {}) {
    this.#end();
    const { answer, verdict, citations = [], stopped = false } = data;
    this.#text = answer || "";
    this.rich.set(this.#text);
    if (data.provider) this.#name(data.provider);
    const cut = Boolean(data.truncated) && !stopped;
    this.#say(stopped ? "멈춘 답변" : cut ? "끝까지 오지 못하고 끊긴 답변" : "");
    this.element.dataset.verdict = this.#verdict = verdict;
    this.element.dataset.text = `Q. ${this.question}\n${plainText(this.#text)}`;
    const tools = h("div", { class: "tools-row" });
    if (this.sources.size && verdict !== "off_topic") {
      this.sources.show(citations, { standalone: this.#standalone, verdict, answer: this.#text });
      tools.append(this.sources.toggle);
    }
    if (this.#text) tools.append(this.#copy());
    if (stopped) tools.append(this.#again("다시 묻기"));
    const rating = this.turnId ? new Rating(this.turnId, this.rated) : null;
    if (rating) tools.append(rating.buttons);
    this.foot.replaceChildren(tools, ...(rating ? [rating.panel] : []), this.sources.panel, ...this.#followUps());
    if (!quiet) this.#readOut(stopped ? "답변을 멈췄습니다. " : cut ? "끝까지 오지 못하고 끊긴 답변: " : "답변: ");
    this.#offerPerson(verdict === "not_found" || data.intent === "person");
  }

  async #offerPerson(lost) {
    const line = await contactLine(lost);
    if (!line) return;
    const follows = this.foot.querySelector(".follows");
    if (follows) follows.before(line);
    else this.foot.append(line);
  }

  #end() {
    this.done = true;
    cancelAnimationFrame(this.#frame);
    this.rich.set(this.#text);
    this.element.removeAttribute("aria-busy");
  }

  #say(text, busy = false) {
    this.status.textContent = text;
    this.element.classList.toggle("busy", busy);
  }

  #name(provider) {
    this.model.textContent = provider || "";
    this.model.hidden = !this.models || !provider;
  }

  #again(label) {
    return h("button", { class: "chip", type: "button", onclick: () => this.#actions.retry(this) }, icon("retry"), label);
  }

  #copy() {
    const label = h("span", {}, "복사");
    const button = h("button", { class: "chip", type: "button", "aria-label": "답변 복사" }, icon("copy"), label);
    button.addEventListener("click", async () => {
      const copied = await copyText(plainText(this.#text));
      label.textContent = copied ? "복사됨" : "복사 실패";
      button.classList.toggle("ok", copied);
      announce(copied ? "답변을 복사했습니다." : "답변을 복사하지 못했습니다.");
      setTimeout(() => { label.textContent = "복사"; button.classList.remove("ok"); }, 2000);
    });
    return button;
  }

  #followUps() {
    if (!this.#suggestions.length) return [];
    const buttons = this.#suggestions.map(({ question, text }) => h("button", {
      class: "follow", type: "button", onclick: () => this.#actions.ask(question),
    }, icon("follow"), h("span", {}, text)));
    const unsure = this.#verdict === "unsure";
    const label = unsure ? "혹시 이 중에 찾으시는 질문이 있나요?" : "이어서 물어보기";
    const heading = unsure ? [h("p", { class: "choose" }, label)] : [];
    return [h("div", { class: "follows", role: "group", "aria-label": label }, ...heading, ...buttons)];
  }

  #readOut(how) {
    const count = this.#suggestions.length;
    const kind = this.#verdict === "unsure" ? "고를 수 있는" : "이어서 물어볼";
    const more = count ? ` ${kind} 질문이 ${count}개 있습니다.` : "";
    announce(`${how}${plainText(this.#text)}${more}`);
  }

  /** Brings the turn to the top of the view, with room below for the answer to grow into. */
  pin() {
    this.element.classList.add("live");
    this.element.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
  }
}

/** Copies text; false where the browser refuses. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "sr", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy"); // the only way on plain http beyond localhost
    area.remove();
    return copied;
  }
}
