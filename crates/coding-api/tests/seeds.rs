//! The seeds of the fuzz targets, once each: what a fuzzer found is kept there, and is not found again.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use coding_api::fuzzing;

use self::replay::replay;

#[test]
fn every_seed_is_read() {
    replay("envelope", fuzzing::envelope);
    replay("list_rows", fuzzing::list_rows);
    replay("hook_body", fuzzing::hook_body);
    replay("hook_verify", fuzzing::hook_verify);
    replay("oauth_token", fuzzing::oauth_token);
}
