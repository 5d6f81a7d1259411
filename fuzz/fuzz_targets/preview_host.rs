#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sebring_edge::fuzzing::preview_host(input));
