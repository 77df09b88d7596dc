-- One backup on the schedule's volume. It is not a run of the schedule, so no retention policy ever deletes its set.
local os = require("os")

local backup = {}
backup.apiVersion = "operator.openshift.io/v1alpha1"
backup.kind = "EtcdBackup"
backup.metadata = { name = obj.metadata.name .. "-" .. os.date("!%Y%m%d%H%M%S") }
backup.spec = { pvcName = obj.spec.etcd.pvcName }

return { { operation = "create", resource = backup } }
