/** API keys: made with the scopes somebody needs, listed, revoked. A secret is shown once. */

import { h } from "../dom.js";
import { get, remove, send } from "./calls.js";
import { confirmed, field, message, table } from "./parts.js";

const SCOPES = [["chat", "질문하기"], ["raw", "모델 그대로 쓰기"], ["history", "기록 읽기"], ["admin", "운영(모든 권한)"]];
const WORDS = Object.fromEntries(SCOPES);
const day = new Intl.DateTimeFormat("ko-KR", { dateStyle: "medium" });

export async function keys() {
  const list = h("div", {});
  const place = h("div", {});
  const name = h("input", { required: true, maxlength: "80", autocomplete: "off" });
  const scope = h("select", {}, ...SCOPES.map(([value, label]) => h("option", { value }, label)));
  const perMinute = h("input", { type: "number", min: "0", max: "1000000", value: "0", inputmode: "numeric" });
  const form = h("form", { class: "editor", onsubmit: (event) => { event.preventDefault(); make(); } },
    field("이름", name, "누가 쓰는 키인지 적어 주세요."), field("권한", scope),
    field("1분에 몇 번", perMinute, "0은 제한이 없다는 뜻이에요."),
    h("div", { class: "tools-row" }, h("button", { class: "primary", type: "submit" }, "키 만들기")));

  async function make() {
    try {
      const made = await send("keys", "POST", { name: name.value, scopes: [scope.value], per_minute: Number(perMinute.value) });
      const secret = h("input", { value: made.secret, readonly: true, "aria-label": "새 키", onfocus: ({ target }) => target.select() });
      place.replaceChildren(message("키를 만들었어요. 지금만 볼 수 있으니 옮겨 적어 주세요."), h("div", { class: "field" }, secret));
      name.value = "";
      secret.focus();
      await fill();
    } catch (error) {
      place.replaceChildren(h("p", { class: "message bad", role: "alert" }, error.message));
    }
  }

  async function revoke(key) {
    try {
      await remove(`keys/${encodeURIComponent(key.id)}`);
      place.replaceChildren(message(`${key.name} 키를 거두었어요. 2초 안에 어디서도 쓸 수 없어요.`));
      await fill();
    } catch (error) {
      place.replaceChildren(h("p", { class: "message bad", role: "alert" }, error.message));
    }
  }

  async function fill() {
    const found = await get("keys");
    list.replaceChildren(found.length ? table("API 키", ["이름", "번호", "권한", "1분에", "만든 날", "거두기"], found.map((key) => [
      key.name, key.id, key.scopes.map((each) => WORDS[each]).join(", "), key.per_minute ? `${key.per_minute}번` : "제한 없음",
      day.format(new Date(key.created_at)), confirmed(`${key.name} 거두기`, "정말 거두기", () => revoke(key))])) : h("p", { class: "quiet" }, "아직 만든 키가 없어요."));
  }

  await fill();
  return [h("h1", {}, "API 키"), place, list, h("h2", {}, "새 키"), form];
}
