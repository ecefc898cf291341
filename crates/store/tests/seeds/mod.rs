//! The seeds of the fuzz targets, once each: what a fuzzer found is kept there, and is not found again.

#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[test]
fn every_seed_is_read() {
    replay::replay("journal_record", store::fuzzing::record);
}
