-- Healthy: the EndpointSlices confirm that the active Service serves the revision in Git. Suspended: a revision waits in preview for a promotion.
-- Degraded: somebody has to act, and the message says why. Progressing: everything else.
local health = { status = "Progressing", message = "The operator has not seen this change yet" }
local status = obj.status
if status == nil or status.phase == nil then
  return health
end
if status.observedGeneration == nil or status.observedGeneration < obj.metadata.generation then
  return health
end
health.message = status.message or ""
if status.phase == "Healthy" or status.phase == "Degraded" then
  health.status = status.phase
elseif status.phase == "Paused" then
  health.status = "Suspended"
end
return health
