"""A request of the Responses API as a chat completion, for providers that know only those.

What has no counterpart there (stored conversations, built-in tools) is refused by name. Knows both
formats; no HTTP and no provider.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from api.errors import InvalidRequest
from api.web.openai.requests import Unsupported

_SAME = ("temperature", "top_p", "user", "parallel_tool_calls", "top_logprobs", "service_tier")
_NOT_HERE = ("previous_response_id", "conversation", "prompt", "background", "store")
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def chat_request(fields: Mapping[str, Any], *, model: str, max_tokens_field: str) -> bytes:
    """The body of the chat completion that answers a request.

    Raises:
        InvalidRequest: it cannot be read, or asks for what a chat completion cannot do.
    """
    for name in _NOT_HERE:
        if fields.get(name):
            raise Unsupported(name, "이 provider의 응답은 저장되지 않습니다. 대화는 input에 담아 주세요.")
    body: dict[str, Any] = {"model": model, "messages": _messages(fields)}
    body |= {name: fields[name] for name in _SAME if fields.get(name) is not None}
    if (most := fields.get("max_output_tokens")) is not None:
        body[max_tokens_field] = most
    if fields.get("top_logprobs"):
        body["logprobs"] = True
    if tools := fields.get("tools"):
        body["tools"] = [_tool(tool) for tool in tools]
    if (choice := fields.get("tool_choice")) is not None and tools:
        body["tool_choice"] = _choice(choice)
    if (form := (fields.get("text") or {}).get("format")) is not None:
        body["response_format"] = _format(form)
    if effort := (fields.get("reasoning") or {}).get("effort"):
        body["reasoning_effort"] = effort
    if fields.get("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body, ensure_ascii=False).encode()


def _messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = fields.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise InvalidRequest("input: 글, 또는 하나 이상의 항목이 필요합니다.")
    instructions = fields.get("instructions")
    messages: list[dict[str, Any]] = []
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "system", "content": instructions})
    for item in items:
        _add(messages, item)
    return messages


def _add(messages: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    """Adds one item; calls of tools in a row belong to one message."""
    match item.get("type") or ("message" if "role" in item else "item_reference"):
        case "message":
            role = _ROLES.get(str(item.get("role")))
            if role is None:
                raise InvalidRequest(f"input: 알 수 없는 role '{str(item.get('role'))[:40]}'입니다.")
            messages.append({"role": role, "content": _content(item.get("content"))})
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            if messages and messages[-1].get("tool_calls"):
                messages[-1]["tool_calls"].append(call)
            else:
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        case "function_call_output":
            output = item.get("output")
            text = output if isinstance(output, str) else _content(output)
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": text})
        case "reasoning":
            pass
        case kind:
            raise Unsupported("input", f"'{str(kind)[:40]}' 항목은 이 provider로 옮길 수 없습니다.")


def _content(content: Any) -> Any:
    """Text as text where it is nothing else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise InvalidRequest("input: content는 글이거나 부분의 목록이어야 합니다.")
    parts = [_part(part) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": str(part.get("text", ""))}
        case "refusal":
            return {"type": "text", "text": str(part.get("refusal", ""))}
        case "input_image" if isinstance(part.get("image_url"), str):
            image = {"url": part["image_url"], "detail": part.get("detail") or "auto"}
            return {"type": "image_url", "image_url": image}
        case kind:
            raise Unsupported("input", f"'{str(kind)[:40]}'은(는) 이 provider로 옮길 수 없습니다.")


def _tool(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise Unsupported("tools", "이 provider에서는 'function' 도구만 쓸 수 있습니다.")
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {n: tool[n] for n in names if tool.get(n) is not None}}


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    raise Unsupported("tool_choice", "이 provider에서는 'function' 도구만 고를 수 있습니다.")


def _format(form: Any) -> dict[str, Any]:
    match form:
        case {"type": "text" | "json_object" as kind}:
            return {"type": kind}
        case {"type": "json_schema"}:
            names = ("name", "description", "schema", "strict")
            schema = {name: form[name] for name in names if form.get(name) is not None}
            return {"type": "json_schema", "json_schema": schema}
        case _:
            raise Unsupported("text.format", "'text', 'json_object', 'json_schema' 중 하나여야 합니다.")
