local status = obj.status or {}
local function is_set(value)
  return value ~= nil and value ~= ""
end

local known = is_set(status.updatedRevision)
local rejected = is_set(status.rejectedRevision)
local served = known and status.activeRevision == status.updatedRevision
local held = obj.spec.paused == true
local candidate = known and not served and not rejected

-- Production can go back to what served before and was not rejected, also while a newer revision waits.
local earlier = served and (status.currentRevision or 0) > 1
for _, revision in ipairs((status.decisions or {}).revisions or {}) do
  local may_serve = is_set(revision.servedAt) and (revision.rejection == nil or revision.rejection.ofAttempt)
  earlier = earlier or (may_serve and is_set(status.activeRevision) and revision.hash ~= status.activeRevision)
end

-- What serves is kept by a promotion after an analysis that came to no conclusion, and by a full one before the end of an analysis.
local inconclusive = served and status.phase == "Paused"
local measured = false
for _, condition in ipairs(status.conditions or {}) do
  local goes_on = condition.reason == "PostPromotionAnalysis" and status.phase == "Progressing"
  local cannot_begin = condition.reason == "AnalysisRefused"
  measured = measured or (served and condition.type == "Ready" and (goes_on or cannot_begin))
end

local actions = {}
actions["promote"] = { ["disabled"] = not (candidate and status.phase == "Paused" and not held or inconclusive) }
actions["promote-full"] = { ["disabled"] = not (candidate and not held or measured), ["displayName"] = "Promote without analysis" }
actions["abort"] = { ["disabled"] = not (candidate and is_set(status.activeRevision)) }
actions["retry"] = { ["disabled"] = not rejected }
actions["rollback"] = { ["disabled"] = not earlier }
actions["restart"] = { ["disabled"] = not is_set(status.activeRevision), ["displayName"] = "Restart pods" }
actions["pause"] = { ["disabled"] = held }
actions["resume"] = { ["disabled"] = not held }
return actions
