-- Whether Valkey would refuse something that will be needed. Behind preflight.lua; nothing is written.
-- ARGV: for each need how many words follow: a key or channel; the type of the key, or '' of a channel; the command and
--       its arguments
-- Returns nothing, or the error of the first refusal.
local at = 1
while at < #ARGV do
  local last = at + tonumber(ARGV[at])
  local object, kind = ARGV[at + 1], ARGV[at + 2]
  if kind ~= '' then
    must_be(object, kind)
  end
  must_allow(object, unpack(ARGV, at + 3, last))
  at = last + 1
end
return refusal
