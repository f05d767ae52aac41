"""What the Redis store does in one step on the server: Lua scripts, each on keys of one hash slot.

Every script can be run twice for the same call: where the answer was lost with a connection, it is asked for again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

# Versions and fences of a slot's keys: they grow also when the sequence was lost with the data of a server that keeps
# none, or when a replica that takes over lacks its last steps. Microseconds fit into a double until the year 2255.
_NEXT = """
local function next_number(sequence)
  local time = redis.call('TIME')
  local number = math.max(time[1] * 1000000 + time[2], tonumber(redis.call('GET', sequence) or '0') + 1)
  local text = string.format('%.0f', number)
  redis.call('SET', sequence, text)
  return text
end
"""


@dataclass(frozen=True)
class Script:
    """A script's source, and the name that the server knows it by."""

    source: str

    @cached_property
    def sha(self) -> str:
        """The digest that EVALSHA takes."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


# KEYS: record, sequence. ARGV: value, end of life in seconds, life in milliseconds, wanted version or '', the
# writer's mark of this call, the writer's time in seconds, channel, key as it is announced.
PUT = Script(
    _NEXT
    + """
local found = redis.call('HMGET', KEYS[1], 'version', 'expires_at', 'mark')
if found[3] == ARGV[5] then return found[1] end
local current = '0'
if found[1] and tonumber(found[2]) > tonumber(ARGV[6]) then current = found[1] end
if ARGV[4] ~= '' and ARGV[4] ~= current then return '0' end
local version = next_number(KEYS[2])
redis.call('HSET', KEYS[1], 'value', ARGV[1], 'version', version, 'expires_at', ARGV[2], 'mark', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[7], ARGV[8])
return version
"""
)

# KEYS: record. ARGV: channel, key as it is announced.
DELETE = Script("""
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
""")

# KEYS: lease, sequence. ARGV: holder, milliseconds. Returns the fence, '0' while another holds it.
ACQUIRE = Script(
    _NEXT
    + """
local held = redis.call('HMGET', KEYS[1], 'holder', 'fence')
if held[1] == ARGV[1] then return held[2] end
if held[1] then return '0' end
local fence = next_number(KEYS[2])
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'fence', fence)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return fence
"""
)

# KEYS: lease. ARGV: holder, milliseconds.
KEEP = Script("""
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

# KEYS: lease. ARGV: holder.
RELEASE = Script("""
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
