obj.spec.etcd.suspend = false
return obj
