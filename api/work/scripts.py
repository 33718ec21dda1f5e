"""The atomic steps of the record of a turn or a job, in Lua.

Each touches the hash `KEYS[1]`; BEGIN also the log `KEYS[2]`. Fields: status, last (number of the newest
event), final, stop, attempts, token and lease_until (who runs it), patience, followed_until, begun_ms,
ended_ms, and what the kind of work keeps. Times in ms. Each may be sent twice and then changes nothing more.
"""

from api.state.clock import NOW

# ARGV: ttl, patience, nonce, field, value, ... Work without a runner yet counts from now. With a nonce,
# work under this id that has ended is replaced. Returns 1 begun, 0 there already.
BEGIN = (
    NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'last', 'final', 'nonce')
if rec[1] then
  if ARGV[3] ~= '' and rec[3] == ARGV[3] then return 1 end
  if ARGV[3] == '' or not rec[2] then return 0 end
  redis.call('DEL', KEYS[1], KEYS[2])
end
redis.call('HSET', KEYS[1], 'status', 'queued', 'last', 0, 'token', '', 'lease_until', now,
  'patience', ARGV[2], 'nonce', ARGV[3], 'followed_until', now, 'begun_ms', now, unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""
)

# ARGV: token, lease, ['dead': only if its runner is]. Returns {code, last, x}: -1 unknown,
# 0 ended, 1 claimed (x: stop), 2 held by another (x: ms left).
CLAIM = (
    NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'last', 'final', 'token', 'lease_until', 'patience', 'stop')
if not rec[1] then return {-1, 0, 0} end
local last, held = tonumber(rec[1]), tonumber(rec[4])
if rec[2] then return {0, last, 0} end
if ARGV[3] == 'dead' then held = held + tonumber(rec[5]) end
local mine, free = rec[3] == ARGV[1], rec[3] == '' and ARGV[3] ~= 'dead'
if not mine and not free and now <= held then return {2, last, held - now} end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'lease_until', now + ARGV[2], 'status', 'running')
if not mine then redis.call('HINCRBY', KEYS[1], 'attempts', 1) end
return {1, last, tonumber(rec[6] or 0)}
"""
)

# ARGV: token, lease. Returns {-1 lost | 0 | 1 stop, ms since somebody elsewhere followed}.
RENEW = (
    NOW
    + """
local rec = redis.call('HMGET', KEYS[1], 'token', 'final', 'stop', 'followed_until')
if rec[1] ~= ARGV[1] or rec[2] then return {-1, 0} end
redis.call('HSET', KEYS[1], 'lease_until', now + ARGV[2])
return {tonumber(rec[3] or 0), math.max(0, now - tonumber(rec[4]))}
"""
)

# ARGV: token.
RELEASE = (
    NOW
    + """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'final') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'token', '', 'lease_until', now, 'status', 'queued')
return 1
"""
)

# ARGV: id, channel.
STOP = """
local rec = redis.call('HMGET', KEYS[1], 'last', 'final')
if not rec[1] or rec[2] then return 0 end
redis.call('HSET', KEYS[1], 'stop', 1)
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
"""
