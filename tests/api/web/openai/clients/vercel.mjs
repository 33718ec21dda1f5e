// The Vercel AI SDK with its OpenAI provider, as its own quick start writes it; prints JSON.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY });
const asked = { role: "user", content: "미성년자도 판매 회원 등록이 가능한가요?" };
const first = await generateText({ model: openai("faq"), messages: [asked] });
const stream = streamText({
  model: openai("faq"),
  messages: [asked, ...first.response.messages, { role: "user", content: "그럼 서류는 뭐가 필요해?" }],
});
const deltas = [];
for await (const delta of stream.textStream) deltas.push(delta);
const chat = await generateText({ model: openai.chat("faq"), messages: [asked] });
console.log(JSON.stringify({
  first: first.text,
  sources: first.sources.map(({ sourceType, url, title }) => ({ sourceType, url, title })),
  second: await stream.text,
  deltas: deltas.join(""),
  cited: (await stream.sources).map(({ title }) => title),
  chat: chat.text,
  chatSources: chat.sources.map(({ url }) => url),
  usage: first.usage.totalTokens,
}));
