#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oauth2_actix_fuzz::dpop_proof::run(data));
