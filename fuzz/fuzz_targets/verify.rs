//! See [`etcd_backup_fuzz::verify`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_backup_fuzz::verify(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    etcd_backup_fuzz::mutate_snapshot(data, size, seed, |data, size| libfuzzer_sys::fuzzer_mutate(data, size, max_size))
});
