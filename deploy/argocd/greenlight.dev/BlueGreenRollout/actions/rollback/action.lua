-- A request names the revision that was looked at: if a newer one has come since, it is refused.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["greenlight.dev/request"] = "rollback " .. obj.status.updatedRevision
return obj
