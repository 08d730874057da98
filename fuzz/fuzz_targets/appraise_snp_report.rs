#![no_main]

libfuzzer_sys::fuzz_target!(init: assay_fuzz::node::prepare(), |data: &[u8]| {
    assay_fuzz::appraise::snp_report(data);
});
