"""The atomic steps of a turn's record, in Lua; each touches the one hash `KEYS[1]`.

Fields: request, owner, session, status, last (number of the newest event), final, stop,
token and lease_until (who runs it), patience, followed_until, begun_ms, ended_ms; times in ms of the server's
clock, so that the clocks of our machines need not agree.
"""

_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""

# ARGV: request, owner, session, patience, ttl. A turn without a runner yet counts from now.
BEGIN = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'request', ARGV[1], 'owner', ARGV[2], 'session', ARGV[3],
  'status', 'queued', 'last', 0, 'token', '', 'lease_until', now, 'patience', ARGV[4],
  'followed_until', now, 'begun_ms', now)
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
"""
)

# ARGV: token, lease, ['dead': only if its runner is]. Returns {code, last, x}: -1 unknown,
# 0 ended, 1 claimed (x: stop), 2 held by another (x: ms left).
CLAIM = (
    _NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'last', 'final', 'token', 'lease_until', 'patience', 'stop')
if not rec[1] then return {-1, 0, 0} end
local last, held = tonumber(rec[1]), tonumber(rec[4])
if rec[2] then return {0, last, 0} end
if ARGV[3] == 'dead' then held = held + tonumber(rec[5]) end
if (rec[3] ~= '' or ARGV[3] == 'dead') and now <= held then return {2, last, held - now} end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'lease_until', now + ARGV[2], 'status', 'running')
return {1, last, tonumber(rec[6] or 0)}
"""
)

# ARGV: token, lease. Returns {-1 lost | 0 | 1 stop, ms since somebody elsewhere followed}.
RENEW = (
    _NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'token', 'final', 'stop', 'followed_until')
if rec[1] ~= ARGV[1] or rec[2] then return {-1, 0} end
redis.call('HSET', KEYS[1], 'lease_until', now + ARGV[2])
return {tonumber(rec[3] or 0), math.max(0, now - tonumber(rec[4]))}
"""
)

# ARGV: token.
RELEASE = (
    _NOW
    + """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'final') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'token', '', 'lease_until', now, 'status', 'queued')
return 1
"""
)

# ARGV: turn id, channel.
STOP = """
local rec = redis.call('HMGET', KEYS[1], 'last', 'final')
if not rec[1] or rec[2] then return 0 end
redis.call('HSET', KEYS[1], 'stop', 1)
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
"""
