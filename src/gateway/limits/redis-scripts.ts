/**
 * What gateways do to the counts that they share, one script an operation: Redis runs a script whole, so no other
 * gateway comes between its check and its change.
 *
 * | key                            | holds |
 * |--------------------------------|-------|
 * | `loopscope:{limits}:c:COUNTER` | eight numbers, `spent×4 held×4`; expires with its window |
 * | `loopscope:{limits}:holds`     | hash: hold → JSON `[4 amounts, counter keys…]` |
 * | `loopscope:{limits}:leases`    | sorted set: hold → when its lease ends, by Redis' clock |
 * | `loopscope:{limits}:end:HOLD`  | how a hold ended that was not settled while it was held; for a day |
 * | `loopscope:{limits}:kills`     | sorted set: `loop` or `loop/run` → when it is forgotten |
 * | `loopscope:{limits}:kills_version` | `EPOCH.CHANGE`: another epoch means that Redis had lost its memory |
 *
 * All have one hash tag, so that they live on one node of a cluster: a claim is on several counters at once. Leases
 * run by Redis' clock, so gateways' clocks need not agree on them. Amounts are whole numbers below 2^53, exact in Lua.
 */
export const PREFIX = 'loopscope:{limits}:';

/** Ended leases that one operation clears away: bounded work, and every operation does its share. */
const REAPED_PER_OPERATION_MAX = 20;
const END_KEEP_S = 86_400;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** A counter is read and written whole: a call to Redis costs more than all there is to calculate. */
const COUNTERS = `
local FORMAT = '%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f'
local PATTERN = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$'
local function read(text)
  if text then return {string.match(text, PATTERN)} end
  return {0, 0, 0, 0, 0, 0, 0, 0}
end
local function counters(from)
  local keys = {}
  for i = from, #KEYS do keys[#keys + 1] = KEYS[i] end
  return keys, #keys > 0 and redis.call('MGET', unpack(keys)) or {}
end
`;

const GIVE_BACK = `
local function give_back(hold)
  for i = 5, #hold do
    local text = redis.call('GET', hold[i])
    if text then
      local count = read(text)
      for m = 1, 4 do count[m + 4] = count[m + 4] - hold[m] end
      redis.call('SET', hold[i], string.format(FORMAT, unpack(count)), 'KEEPTTL')
    end
  end
end
`;

const REAP = `
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ${REAPED_PER_OPERATION_MAX})) do
  local text = redis.call('HGET', KEYS[2], id)
  if text then
    give_back(cjson.decode(text))
    redis.call('HDEL', KEYS[2], id)
    redis.call('SET', '${PREFIX}end:' .. id, 'lapsed', 'EX', ${END_KEEP_S})
  end
  redis.call('ZREM', KEYS[1], id)
end
`;

/**
 * KEYS: leases, holds, counters…; ARGV: hold, lease in ms, 4 amounts, then for each counter 4 maxima ('' for none) and
 * how long it is kept in ms. Gives 1 or 0, then what was used before, 4 numbers a counter.
 */
const RESERVE = `${NOW}${COUNTERS}${GIVE_BACK}${REAP}
local keys, texts = counters(3)
local counts, reply = {}, {1}
for i = 1, #keys do
  local count = read(texts[i])
  for m = 1, 4 do
    local used = count[m] + count[m + 4]
    local amount = tonumber(ARGV[2 + m])
    local max = tonumber(ARGV[6 + (i - 1) * 5 + m])
    reply[#reply + 1] = used
    if max and amount > 0 and used + amount > max then reply[1] = 0 end
    count[m + 4] = count[m + 4] + amount
  end
  counts[i] = count
end
if reply[1] == 0 then return reply end
local hold = {ARGV[3], ARGV[4], ARGV[5], ARGV[6]}
for i = 1, #keys do
  redis.call('SET', keys[i], string.format(FORMAT, unpack(counts[i])), 'PX', ARGV[6 + i * 5])
  hold[#hold + 1] = keys[i]
end
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(hold))
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return reply
`;

/**
 * KEYS: leases, holds, end of this hold, counters…; ARGV: hold, '1' when it goes on unheld, 4 amounts, then how long
 * each counter is kept in ms. Gives what is spent now, 4 numbers a counter; nothing when it was settled before.
 */
const SETTLE = `${COUNTERS}
local text = redis.call('HGET', KEYS[2], ARGV[1])
local held = {0, 0, 0, 0}
if text then
  held = cjson.decode(text)
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  local ended = redis.call('GET', KEYS[3])
  if ended ~= 'lapsed' and (ended or ARGV[2] ~= '1') then return {} end
end
if not text or ARGV[2] == '1' then redis.call('SET', KEYS[3], 'settled', 'EX', ${END_KEEP_S}) end
local keys, texts = counters(4)
local reply = {}
for i = 1, #keys do
  local count = read(texts[i])
  for m = 1, 4 do
    count[m] = count[m] + ARGV[2 + m]
    if texts[i] then count[m + 4] = count[m + 4] - held[m] end
    reply[#reply + 1] = count[m]
  end
  redis.call('SET', keys[i], string.format(FORMAT, unpack(count)), 'PX', ARGV[6 + i])
end
return reply
`;

/** KEYS: leases, holds; ARGV: hold. */
const RELEASE = `${COUNTERS}${GIVE_BACK}
local text = redis.call('HGET', KEYS[2], ARGV[1])
if not text then return 0 end
give_back(cjson.decode(text))
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
`;

/** KEYS: leases, holds; ARGV: lease in ms, holds…. A lease that has ended stays ended. */
const RENEW = `${NOW}${COUNTERS}${GIVE_BACK}${REAP}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[i]) end
return #ARGV - 1
`;

/** KEYS: kills, version; ARGV: what, when it is forgotten in ms ('' takes it back), how many there may be. */
const KILL = `${NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] == '' then redis.call('ZREM', KEYS[1], ARGV[1])
elseif redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
else return 0 end
local epoch, change = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+)%.(%d+)$')
redis.call('SET', KEYS[2], (epoch or string.format('%.0f', now)) .. '.' .. string.format('%.0f', (change or 0) + 1))
return 1
`;

/** The version of kills that nobody changed yet. */
export const NO_KILLS = '0.0';

/** KEYS: kills, version; ARGV: the version that is known. Gives the version, and all kills where it is another. */
const KILLS = `
local version = redis.call('GET', KEYS[2]) or '${NO_KILLS}'
if version == ARGV[1] then return {version} end
local reply = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
table.insert(reply, 1, version)
return reply
`;

export const SCRIPTS = {
  limitsReserve: { lua: RESERVE },
  limitsSettle: { lua: SETTLE },
  limitsRelease: { lua: RELEASE, numberOfKeys: 2 },
  limitsRenew: { lua: RENEW, numberOfKeys: 2 },
  limitsKill: { lua: KILL, numberOfKeys: 2 },
  limitsKills: { lua: KILLS, numberOfKeys: 2 },
};

type Arg = string | number;
/** The scripts as the client has them. Those without a fixed number of keys are told it first. */
export interface ScriptCommands {
  limitsReserve(keys: number, ...args: Arg[]): Promise<number[]>;
  limitsSettle(keys: number, ...args: Arg[]): Promise<number[]>;
  limitsRelease(...args: Arg[]): Promise<number>;
  limitsRenew(...args: Arg[]): Promise<number>;
  limitsKill(...args: Arg[]): Promise<number>;
  limitsKills(...args: Arg[]): Promise<string[]>;
}
