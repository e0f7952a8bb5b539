"""What the Redis store does inside Redis: each script is one instant, and all or nothing.

A list travels as one string, each part after its length (4 bytes): a block of tiles is more arguments than Redis
takes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from headrace.features.redis_tiles import PLACE, RECORD

APPLY: Final = f"""
local meta, expected, clean, token, tiles, commands = unpack(ARGV)
local left = redis.call('HMGET', meta, 'token', 'run')
if (left[1] or '') ~= expected then return 0 end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if left[2] ~= run and clean ~= run then return run end
local list, at = tiles, 1
local function take()
    local size = struct.unpack('<I4', list, at)
    local part = string.sub(list, at + 4, at + 3 + size)
    at = at + 4 + size
    return part
end
while at <= #list do
    local key, new = take(), take()
    local old = redis.call('GET', key)
    if not old then
        redis.call('SET', key, new)
    else
        local fresh = {{}}
        for begin = 1, #new, {RECORD} do
            local record = string.sub(new, begin, begin + {RECORD - 1})
            local place = string.sub(record, 1, {PLACE})
            local found = #old - {RECORD - 1}
            if string.sub(old, found, found + {PLACE - 1}) ~= place then
                found = string.find(old, place, 1, true)
                while found and (found - 1) % {RECORD} ~= 0 do
                    found = string.find(old, place, found + 1, true)
                end
            end
            if found then
                redis.call('SETRANGE', key, found - 1, record)
            else
                fresh[#fresh + 1] = record
            end
        end
        if #fresh > 0 then redis.call('APPEND', key, table.concat(fresh)) end
    end
end
list, at = commands, 1
while at <= #list do
    local command = {{}}
    for part = 1, tonumber(take()) do command[part] = take() end
    redis.call(unpack(command))
end
redis.call('HSET', meta, 'token', token, 'run', run)
return 1
"""
"""Meta's key, the token expected there, the run known to be clean, the next token; tiles; further commands.

A record takes the place of the one that begins with the same place, or stands at the end. 0 where another token
is found: the store is not as it was left. The id of the server's run where nothing was applied in it yet.
"""

LOOK: Final = """
local found = {redis.call('HGET', ARGV[1] .. 'm', 'token') or ''}
for number, name in ipairs({'v', 'e', 'p'}) do found[number + 1] = redis.call('HGETALL', ARGV[1] .. name) end
return found
"""
"""The prefix. The token, views, epochs and positions; a transaction of Redis would be refused at full memory."""

READ: Final = """
local prefix, known, ranges, wides = unpack(ARGV, 1, 4)
local meta = redis.call('HMGET', prefix .. 'm', 'epochs', 'mark')
if (meta[1] or '0') ~= known then
    return {meta[1] or '0', redis.call('HGETALL', prefix .. 'v'), redis.call('HGETALL', prefix .. 'e')}
end
local at, tiles, wide, rows = 5, {}, {}, {}
for number = 1, tonumber(ranges) do
    tiles[number] = redis.call('GET', prefix .. 't' .. ARGV[at]) or ''
    at = at + 1
end
for number = 1, tonumber(wides) do
    wide[number] = table.concat(redis.call('HVALS', prefix .. 'w' .. ARGV[at]))
    at = at + 1
end
while ARGV[at] do
    rows[#rows + 1] = redis.call('HGET', prefix .. 'a' .. ARGV[at], ARGV[at + 1])
    at = at + 2
end
return {meta[2] or '', tiles, wide, rows}
"""
"""The prefix, the version known of the epochs, how many keys of tiles and of wide tiles; these; attributes."""

EXPIRE: Final = f"""
local dropped = 0
for at = 1, #ARGV, 3 do
    local kind, key, before = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    if kind == 'w' then
        for _, place in ipairs(redis.call('HKEYS', key)) do
            if struct.unpack('<i8', place) < before then dropped = dropped + redis.call('HDEL', key, place) end
        end
    else
        local old, kept = redis.call('GET', key) or '', {{}}
        for begin = 1, #old, {RECORD} do
            if struct.unpack('<i8', old, begin) >= before then
                kept[#kept + 1] = string.sub(old, begin, begin + {RECORD - 1})
            end
        end
        local gone = #old / {RECORD} - #kept
        if gone > 0 then
            dropped = dropped + gone
            if #kept > 0 then redis.call('SET', key, table.concat(kept)) else redis.call('DEL', key) end
        end
    end
end
return dropped
"""
"""Threes: kind of key (t, w), key, first hop kept (ms). How many tiles were dropped."""

_SIZE: Final = struct.Struct("<I")
_TOGETHER: Final = 1_000


def joined(parts: Iterable[bytes]) -> bytes:
    """A list as one string.

    >>> joined([b"ab", b""])
    b'\\x02\\x00\\x00\\x00ab\\x00\\x00\\x00\\x00'
    """
    return b"".join(piece for part in parts for piece in (_SIZE.pack(len(part)), part))


def hash_set(key: bytes, fields: dict[bytes, bytes]) -> bytes:
    """Commands that set fields of a hash; not more at once than Lua's stack takes."""
    pairs, commands = list(fields.items()), []
    for begin in range(0, len(pairs), _TOGETHER):
        values = [value for pair in pairs[begin : begin + _TOGETHER] for value in pair]
        commands.append(joined([str(len(values) + 2).encode(), b"HSET", key, *values]))
    return b"".join(commands)
