#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| affiant_fuzz::files::pack(bytes));
