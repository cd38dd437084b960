-- Healthy: the EndpointSlices confirm that the active Service serves the revision in Git. Suspended: a person has to promote, or to decide after an analysis.
-- Degraded: somebody has to act, and the message says why. Progressing: everything else.
local health = { status = "Progressing", message = "The operator has not seen this change yet" }
local status = obj.status
if status == nil or status.phase == nil then
  return health
end
local is_seen = (status.observedGeneration or 0) >= obj.metadata.generation
for _, condition in ipairs(status.conditions or {}) do
  -- What keeps the operator from its work on this spec it tells before the rest of the status speaks of that.
  local tells = condition.type == "Stalled" and (condition.observedGeneration or 0) >= obj.metadata.generation
  is_seen = is_seen or tells
end
if not is_seen then
  return health
end
health.message = status.message or ""
if status.phase == "Healthy" or status.phase == "Degraded" then
  health.status = status.phase
elseif status.phase == "Paused" then
  health.status = "Suspended"
end
return health
