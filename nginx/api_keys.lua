-- Names of API keys by the SHA-256 digests that the launcher writes into the run directory. Runs inside nginx, once per
-- request. A digest says nothing about its key, so the time that its lookup takes tells nothing either.

local ffi = require "ffi"

-- Not SHA256(), which looks the algorithm up by name each time since OpenSSL 3: a microsecond.
ffi.cdef [[
int SHA256_Init(void *state);
int SHA256_Update(void *state, const void *data, size_t length);
int SHA256_Final(unsigned char *digest, void *state);
]]

local LONGEST_KEY = 1024
local state = ffi.new "uint64_t[64]" -- larger than a SHA256_CTX, which has 112 bytes
local digest = ffi.new "unsigned char[32]"
local names = {}

local function from_hex(text)
  return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function name_of_key(key)
  if not key or #key > LONGEST_KEY then
    return nil
  end
  ffi.C.SHA256_Init(state)
  ffi.C.SHA256_Update(state, key, #key)
  ffi.C.SHA256_Final(digest, state)
  return names[ffi.string(digest, 32)]
end

-- Global, since every location calls them.
api_keys = {}

function api_keys.load(path)
  for line in io.lines(path) do
    local name, hex = line:match("^(%S+) (%x+)$")
    if name then
      names[from_hex(hex)] = name
    end
  end
end

-- Returns what follows the scheme. A header may have 64 KB: the pattern has one way to match, so that it takes time in
-- proportion to the length, and no spaces after the key are searched for, since nginx has removed them.
local function bearer_key(authorization)
  local start = authorization and authorization:match("^[Bb][Ee][Aa][Rr][Ee][Rr] +()")
  return start and authorization:sub(start)
end

-- Returns the name of the key in one of the two headers; an empty string if neither has one that is known.
function api_keys.name(authorization, x_api_key)
  return name_of_key(bearer_key(authorization)) or name_of_key(x_api_key) or ""
end

-- Counts a request of a key. The shared table outlives a reload.
function api_keys.count(name, status)
  local class = status == 429 and "limited" or status < 400 and "ok" or "failed"
  ngx.shared.api_key_counts:incr((name == "" and "-" or name) .. " " .. class, 1, 0)
end

-- Counts what the gateway refused itself: the lack of a key, or the request of a key. Not unknown paths.
function api_keys.count_refused(name, status)
  if name ~= "" or status == 401 then
    api_keys.count(name, status)
  end
end

-- Prints one line per counter: name, class, requests. Counters of every name are there from the start, since Prometheus
-- cannot see the first increase of one that begins at 1; those of removed keys stay.
function api_keys.print_counts()
  local counts = ngx.shared.api_key_counts
  local printed = {}
  local function print_count(counter)
    if not printed[counter] then
      printed[counter] = true
      ngx.say(counter, " ", counts:get(counter) or 0)
    end
  end
  local function print_all_classes(name)
    for _, class in ipairs({ "ok", "failed", "limited" }) do
      print_count(name .. " " .. class)
    end
  end
  print_all_classes("-")
  for _, name in pairs(names) do
    print_all_classes(name)
  end
  for _, counter in ipairs(counts:get_keys(0)) do
    print_count(counter)
  end
end
