/** The console's calls. */

import { request } from "../api.js";

export const get = async (path) => (await request(path, { headers: { Accept: "application/json" } })).json();
export const send = async (path, method, body) => (await request(path, {
  method, headers: { "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body),
})).json();
export const remove = (path) => request(path, { method: "DELETE" });
export const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();

/** Saves what a path answers as a file: a link could not carry the key. */
export async function download(path, name) {
  const url = URL.createObjectURL(await (await request(path)).blob());
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(url);
}
