"""The FAQ as an MCP server, over streamable HTTP and stdio; needs the extra `mcp`."""
