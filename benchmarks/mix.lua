-- The mix of requests: host, path, query and cookie drawn from a printed seed. Arguments: seed, kind, routes.
local methods = { "GET" }
local seed, kind, routes

function init(args)
  seed = tonumber(args[1])
  kind = args[2]
  routes = tonumber(args[3])
  math.randomseed(seed)
end

local function hosts(i)
  return string.format("host-%d.bench.test", i), string.format("/api/v%d/items/%d?page=%d", i % 7, math.random(100000), math.random(50))
end

local function prefixes(i)
  return "one.bench.test", string.format("/p%d/items/%d?page=%d", i, math.random(100000), math.random(50))
end

local function mixed(i)
  if i < math.floor(routes * 0.9) then return hosts(i) end
  local n = i % 4
  if n == 0 then return string.format("sub%d.w%d.bench.test", math.random(1000), i), "/wild?x=1" end
  if n == 1 then return "exact.bench.test", string.format("/exact/%d", i) end
  if n == 2 then return "header.bench.test", string.format("/h%d/x", i), { ["X-Kind"] = "k" .. i } end
  return "method.bench.test", string.format("/m%d/x", i)
end

local kinds = { hosts = hosts, prefixes = prefixes, mixed = mixed }

function request()
  local host, path, extra = kinds[kind](math.random(0, routes - 1))
  local headers = {
    ["Host"] = host,
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ["Accept-Encoding"] = "gzip, deflate, br",
    ["Accept-Language"] = "en-US,en;q=0.5",
    ["Cookie"] = string.format("session=%08x; theme=dark", math.random(0, 2147483647)),
    ["Referer"] = "http://bench.test/start",
  }
  if extra then for k, v in pairs(extra) do headers[k] = v end end
  return wrk.format(methods[1], path, headers)
end

function done(summary, latency, _)
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, summary.errors.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
