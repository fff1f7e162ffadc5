-- Reads the conditions as kstatus does. What a status says of an older generation counts for nothing.
local health = {status = "Progressing", message = "Waiting for the operator"}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "Waiting for the operator to see the latest change"
  return health
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
if conditions["Ready"] ~= nil then
  health.message = conditions["Ready"].message
end

-- The first of these that is true decides. Ready is not enough: a suspended resource is ready too.
local verdicts = {
  {condition = "Stalled", status = "Degraded"},
  {condition = "Suspended", status = "Suspended"},
  {condition = "Ready", status = "Healthy"},
}
for _, verdict in ipairs(verdicts) do
  local found = conditions[verdict.condition]
  if found ~= nil and found.status == "True" then
    return {status = verdict.status, message = found.message}
  end
end
return health
