local status = obj.status or {}
local function is_set(value)
  return value ~= nil and value ~= ""
end

local known = is_set(status.updatedRevision)
local rejected = is_set(status.rejectedRevision)
local served = known and status.activeRevision == status.updatedRevision
local held = obj.spec.paused == true
local candidate = known and not served and not rejected

local actions = {}
actions["promote"] = { ["disabled"] = not (candidate and status.phase == "Paused" and not held) }
actions["promote-full"] = { ["disabled"] = not (candidate and not held), ["displayName"] = "Promote without analysis" }
actions["abort"] = { ["disabled"] = not (candidate and is_set(status.activeRevision)) }
actions["retry"] = { ["disabled"] = not rejected }
actions["rollback"] = { ["disabled"] = not (served and (status.currentRevision or 0) > 1) }
actions["restart"] = { ["disabled"] = not is_set(status.activeRevision), ["displayName"] = "Restart pods" }
actions["pause"] = { ["disabled"] = held }
actions["resume"] = { ["disabled"] = not held }
return actions
