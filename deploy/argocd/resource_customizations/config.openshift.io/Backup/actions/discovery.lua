local actions = {}
if obj.spec.etcd.suspend then
  actions["resume"] = { iconClass = "fa fa-fw fa-play", displayName = "Resume" }
else
  actions["suspend"] = { iconClass = "fa fa-fw fa-pause", displayName = "Suspend" }
end
if obj.spec.etcd.pvcName ~= nil and obj.spec.etcd.pvcName ~= "" then
  actions["create-backup"] = { iconClass = "fa fa-fw fa-plus", displayName = "Back up now, kept until deleted by hand" }
end
return actions
