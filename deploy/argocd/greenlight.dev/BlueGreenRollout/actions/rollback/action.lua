-- A request names the revision that was looked at, which serves: if production has left it since, it is refused.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["greenlight.dev/request"] = "rollback " .. obj.status.activeRevision
return obj
