/** What several views share: dates, words for verdicts and proposals, tables, messages. Knows no HTTP. */

import { announce, h } from "../dom.js";

const clock = new Intl.DateTimeFormat("ko-KR", { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const when = (ms) => h("time", { datetime: new Date(ms).toISOString() }, clock.format(ms));
export const percent = (share) => `${Math.round(share * 100)}%`;

export const VERDICTS = {
  answered: "답함", unsure: "불확실", not_found: "못 찾음", off_topic: "범위 밖", greeting: "인사", failed: "실패", stopped: "멈춤",
};
export const FAULTS = { ...VERDICTS, down: "아쉬워요", again: "다시 물음" };
/** What was wrong with an answer. */
export const FLAWS = {
  repaired: "출처를 채움", uncited: "출처가 없음", title_only: "제목뿐", repetition: "같은 말을 되풀이", wrong_language: "한국어가 아님",
  cut: "끊김", ungrounded: "FAQ에 없는 숫자나 메뉴",
};
export const RATINGS = { up: "도움", down: "아쉬움" };
export const REASONS = {
  wrong: "틀림", incomplete: "부족함", not_what_i_asked: "다른 질문의 답", outdated: "예전 내용", other: "그 밖",
};

export const verdict = (row) => {
  const name = row.status === "failed" ? "failed" : row.verdict || row.status;
  return h("span", { class: `badge ${name}` }, VERDICTS[name] ?? name);
};

/** A table that becomes cards on a phone; `rows` are arrays of nodes or texts, in the order of `columns`. */
export function table(caption, columns, rows) {
  return h("div", { class: "wide-table" }, h("table", {},
    h("caption", { class: "sr" }, caption),
    h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell, n) => h("td", { "data-name": columns[n] }, cell)))))));
}

/** A labelled control. */
export function field(label, control, hint) {
  const id = control.id || `f-${Math.random().toString(36).slice(2)}`;
  control.id = id;
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint ? h("p", { class: "quiet" }, hint) : null);
}

export function select(name, options, value = "") {
  const control = h("select", { name });
  for (const [key, label] of options) control.append(h("option", { value: key, selected: key === value }, label));
  return control;
}

/** A message on top of the view that screen readers hear, with an optional link or button. */
export function message(text, action) {
  const box = h("p", { class: "message" }, text, " ", action ?? "");
  announce(text);
  return box;
}

export const button = (label, onclick, kind = "chip") => h("button", { class: kind, type: "button", onclick }, label);

/** A button that asks once more before it acts. */
export function confirmed(label, sure, action, name = label) {
  const box = h("span", { class: "tools-row" });
  const ask = button(label, () => {
    const yes = button(sure, action, "chip danger");
    box.replaceChildren(yes, button("그만두기", () => { box.replaceChildren(ask); ask.focus(); }));
    yes.focus();
  });
  ask.setAttribute("aria-label", name);
  box.append(ask);
  return box;
}
export const link = (label, href) => h("a", { class: "chip", href }, label);
