obj.spec.etcd.suspend = true
return obj
