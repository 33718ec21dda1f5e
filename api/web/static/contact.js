/** Who answers what the FAQ cannot, as the operator's settings name it. Knows no turn. */

import { handOver, request } from "./api.js";
import { announce, h } from "./dom.js";
import { saved } from "./state.js";

let page = null;

/** The line below an answer; null where nobody is named, or the answer does not call for it. */
export async function contactLine(lost) {
  page ??= request("page.json").then((response) => response.json()).catch(() => { page = null; return {}; });
  const { contact_text: text = "", contact_url: url = "", contact_always: always = false, hand_over: taken = false } = await page;
  if (!(text || url || taken) || !(lost || always)) return null;
  const link = /^(https?|mailto|tel):/.test(url)
    ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, "사람에게 문의하기") : null;
  const line = text || link ? h("p", {}, text, text && link ? " " : "", link ?? "") : null;
  return h("div", { class: "contact" }, line, taken ? handOverForm() : null);
}

/** Hands the conversation to a person, who gets it with the place to be reached at. */
function handOverForm() {
  const contact = h("input", { type: "text", maxlength: "200", autocomplete: "on", "aria-label": "연락받을 곳", placeholder: "연락받을 전화번호나 이메일", oninput: () => { told.textContent = ""; } });
  const told = h("p", { class: "quiet", role: "status" });
  const send = h("button", { class: "chip", type: "submit" }, "대화 넘기기");
  const form = h("form", { class: "hand-over", onsubmit: async (event) => {
    event.preventDefault();
    if (!contact.value.trim()) { told.textContent = "연락받을 곳을 적어 주세요."; contact.focus(); return; }
    send.disabled = true;
    try {
      await handOver(saved.sessionId, { contact: contact.value.trim() });
      form.replaceChildren(h("p", { role: "status" }, "대화를 상담원에게 넘겼어요. 적어 주신 곳으로 연락드릴게요."));
      announce("대화를 상담원에게 넘겼어요.");
    } catch (error) {
      send.disabled = false;
      told.textContent = `넘기지 못했어요. ${error.message}`;
    }
  } }, h("p", {}, "이 대화를 상담원에게 넘길 수 있어요. 개인정보는 가리고 보내요."), h("div", { class: "hand-over-row" }, contact, send), told);
  return form;
}
