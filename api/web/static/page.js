/** What the operator's settings say of the page: name, greeting, examples, colour. Knows no turns. */

import { getPage } from "./api.js";
import { $ } from "./dom.js";

const OWN = {
  providers: false,
  examples: [
    "미성년자도 판매자가 될 수 있나요?",
    "대표 이미지는 몇 픽셀로 만들면 되나요?",
    "구매확정이 되면 정산은 언제 되나요?",
    "반품 요청이 오면 무엇부터 하나요?",
  ],
};

/** Reads the settings and shows them; the page's own words stand where they cannot be read. */
export async function loadPage() {
  let page = OWN;
  try { page = { ...OWN, ...(await getPage()) }; } catch { /* a key is needed first, or the server is away */ }
  if (page.name) {
    document.title = page.name;
    $("brand").replaceChildren(page.name);
  }
  if (page.greeting) $("greeting").textContent = page.greeting;
  colour(page.color);
  building(page.building);
  return page;
}

const LOOK_MS = 5_000;
const STEPS = { tokenize: "단어 정리", embed: "뜻 계산", store: "저장", titles: "저장" };

/** Says how far the index is while answers still come from its words, until it is there. */
function building(progress) {
  const line = $("building");
  line.hidden = !progress;
  if (!progress) return;
  const share = progress.total ? ` ${Math.floor((100 * progress.done) / progress.total)}%` : "";
  line.textContent = progress.failed
    ? "검색 준비를 마치지 못했어요. 답변이 덜 정확할 수 있어요."
    : `검색을 준비하고 있어요(${STEPS[progress.step] ?? "FAQ 읽기"}${share}). 지금 물어보셔도 돼요.`;
  if (progress.failed) return;
  setTimeout(async () => {
    try { building((await getPage()).building); } catch { building(progress); }
  }, LOOK_MS);
}

/** The accent in both schemes, with white or black upon it: whichever can be read better. */
function colour(value) {
  const hex = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})$/i.exec(value ?? "");
  if (!hex) return;
  const parts = hex.slice(1).map((part) => parseInt(part, 16) / 255);
  const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const on = 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 ? "#fff" : "#000";
  const { style } = document.documentElement;
  style.setProperty("--accent", `light-dark(${value}, color-mix(in oklab, ${value}, white 45%))`);
  style.setProperty("--accent-strong", `light-dark(color-mix(in oklab, ${value}, black 25%), color-mix(in oklab, ${value}, white 60%))`);
  style.setProperty("--soft", `light-dark(color-mix(in oklab, ${value}, white 88%), color-mix(in oklab, ${value}, black 70%))`);
  style.setProperty("--on-accent", `light-dark(${on}, #06170e)`);
}
