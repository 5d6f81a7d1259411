#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sebring_runner::fuzzing::toolbox_answers(input));
