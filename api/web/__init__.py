"""HTTP in: routes, problem bodies, server-sent events, the page."""
