//! See [`etcd_backup_fuzz::schedule`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_backup_fuzz::schedule(data));
