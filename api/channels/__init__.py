"""Ways in besides the API: MCP, the widget, TalkTalk and KakaoTalk. Each asks and follows turns, no more."""
