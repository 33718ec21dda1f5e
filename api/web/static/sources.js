/** The sources of one answer: a list that folds out, each opening the whole FAQ in place. */

import { getFaq } from "./api.js";
import { calm, h, icon } from "./dom.js";
import { markQuoted } from "./quoted.js";
import { RichText } from "./text.js";

let serial = 0;

export class SourceList {
  #items = new Map();
  #sources = [];
  #answer = "";

  constructor() {
    this.id = `sources-${(serial += 1)}`;
    this.label = h("span", {});
    this.toggle = h("button", {
      class: "chip", type: "button", "aria-expanded": "false", "aria-controls": this.id,
      onclick: () => this.expand(this.panel.hidden),
    }, icon("book"), this.label, icon("chevron"));
    this.panel = h("div", { class: "sources", id: this.id, hidden: true });
  }

  get size() { return this.#sources.length; }

  set(sources) { this.#sources = sources; }

  /** The inline button for citation `n`, or null where no such source was given. */
  citation(n) {
    const source = this.#sources.find((each) => each.n === n);
    if (!source) return null;
    return h("button", {
      class: "cite", type: "button", title: source.question, "aria-label": `출처 ${n}: ${source.question}`,
      onclick: () => this.open(n),
    }, String(n));
  }

  expand(open) {
    if (open && !this.#items.size) this.show([]);
    this.panel.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
  }

  /** Opens source `n` and takes the reader there, once its text is there to be seen. */
  async open(n) {
    this.expand(true);
    const item = this.#items.get(n);
    item.open = true;
    item.firstElementChild.focus({ preventScroll: true });
    await load(this.#sources.find((source) => source.n === n), item.lastElementChild, this.#answer);
    const quoted = item.querySelector("mark") ?? item;
    quoted.scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
  }

  /** Builds the list: the cited sources first, the others under a line of their own. */
  show(citations, { standalone, verdict, answer = "" } = {}) {
    this.#answer = answer;
    const cited = this.#sources.filter((source) => citations.includes(source.n));
    const others = this.#sources.filter((source) => !citations.includes(source.n));
    const close = verdict === "not_found" ? "비슷한 FAQ" : "함께 찾은 FAQ";
    this.#items.clear();
    this.panel.replaceChildren();
    if (standalone) {
      this.panel.append(h("p", { class: "understood" }, "대화를 이어 이렇게 찾았어요: ", h("q", {}, standalone)));
    }
    if (cited.length) this.panel.append(this.#list(cited, "출처"));
    if (others.length) {
      if (cited.length) this.panel.append(h("p", { class: "others" }, close));
      this.panel.append(this.#list(others, close));
    }
    this.label.textContent = cited.length ? `출처 ${cited.length}개` : `${close} ${others.length}개`;
  }

  #list(sources, label) {
    return h("ul", { role: "list", "aria-label": label }, ...sources.map((source) => h("li", {}, this.#item(source))));
  }

  #item(source) {
    const body = h("div", { class: "faq" });
    const item = h("details", { class: "source", ontoggle: () => item.open && load(source, body, this.#answer) },
      h("summary", {},
        h("span", { class: "number", "aria-hidden": "true" }, String(source.n)),
        h("span", { class: "title" }, h("span", { class: "sr" }, `출처 ${source.n}: `), source.question),
        icon("chevron")),
      body);
    this.#items.set(source.n, item);
    return item;
  }
}

const loading = new WeakMap();

/** Fills `body` with the FAQ, once; a failure may be tried again. */
function load(source, body, answer) {
  if (!loading.has(body)) loading.set(body, fill(source, body, answer));
  return loading.get(body);
}

async function fill(source, body, answer) {
  body.setAttribute("aria-busy", "true");
  body.replaceChildren(h("p", { class: "quiet" }, "FAQ를 불러오고 있어요…"));
  try {
    const faq = await getFaq(source.faq_id);
    const text = h("div", { class: "rich" });
    new RichText(text).set(faq.answer);
    markQuoted(text, answer, source.n);
    body.replaceChildren(...crumbs(faq), ...origin(faq), text, ...related(faq));
  } catch (error) {
    loading.delete(body);
    body.replaceChildren(
      h("p", { class: "quiet", role: "alert" }, `FAQ를 불러오지 못했어요. ${error.message}`),
      h("button", { class: "chip", type: "button", onclick: () => load(source, body, answer) }, icon("retry"), "다시 시도"),
    );
  } finally {
    body.removeAttribute("aria-busy");
  }
}

function crumbs({ categories }) {
  return categories?.length ? [h("p", { class: "crumbs" }, categories.join(" › "))] : [];
}

const day = new Intl.DateTimeFormat("ko-KR", { dateStyle: "long", timeZone: "UTC" });

/** Where the FAQ was published and when it was changed last, where the corpus has it. */
function origin({ link, date }) {
  const page = /^https?:\/\//.test(link ?? "") ? h("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, "원문 보기") : null;
  const changed = date ? h("time", { datetime: date }, `${day.format(new Date(date))} 수정`) : null;
  return page || changed ? [h("p", { class: "origin" }, page, changed)] : [];
}

function related({ related: titles }) {
  if (!titles?.length) return [];
  return [h("p", { class: "others" }, "관련 도움말"), h("ul", { class: "related" }, ...titles.map((title) => h("li", {}, title)))];
}
