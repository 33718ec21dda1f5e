/** The choice of who answers: out of GET /providers, for the next question, remembered. */

import { getProviders } from "./api.js";
import { $, h } from "./dom.js";
import { saved } from "./state.js";

export class ProviderChoice {
  #names = [];

  constructor() {
    this.select = $("provider");
    this.select.addEventListener("change", () => { saved.provider = this.select.value; });
  }

  /** Fills the list; `current` is the session's provider. Throws what the request throws. */
  async load(current) {
    const { default: standard, providers } = await getProviders();
    this.#names = providers.map(({ name }) => name);
    this.select.replaceChildren(...providers.map((each) => h("option", { value: each.name }, labelOf(each))));
    this.select.value = [saved.provider, current, standard].find((name) => this.#names.includes(name)) ?? this.#names[0];
    $("provider-box").hidden = !this.several;
  }

  get several() { return this.#names.length > 1; }

  /** What to send: nothing where there is no choice, so that the server decides. */
  get value() { return this.several ? this.select.value : undefined; }
}

function labelOf({ name, model, healthy }) {
  const named = model && model !== name ? `${name} · ${model}` : name;
  return healthy === false ? `${named} (응답 없음)` : named;
}
