"""An agent as the OpenAI Agents SDK's own quick start writes it; prints what its run gave, as JSON.

Run in an environment with `openai-agents`, OPENAI_BASE_URL and OPENAI_API_KEY.
"""

import asyncio
import json

from agents import Agent, Runner, set_tracing_disabled


async def main() -> None:
    set_tracing_disabled(True)
    agent = Agent(name="Assistant", instructions="You are a helpful assistant", model="faq")
    first = await Runner.run(agent, "미성년자도 판매 회원 등록이 가능한가요?")
    second = Runner.run_streamed(
        agent, [*first.to_input_list(), {"role": "user", "content": "그럼 서류는 뭐가 필요해?"}]
    )
    deltas = [
        event.data.delta
        async for event in second.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    message = second.raw_responses[-1].output[0]
    cited = [each.title for each in message.content[0].annotations]
    print(
        json.dumps(
            {
                "first": first.final_output,
                "second": second.final_output,
                "deltas": "".join(deltas),
                "cited": cited,
            }
        )
    )


asyncio.run(main())
