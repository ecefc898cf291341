//! Shared by the tests of those whose functions the fuzz targets call.
#![expect(clippy::print_stderr, reason = "the seed that fails is the last one named")]

use std::path::Path;

/// Feeds every seed of a target to the function that the target calls.
pub(crate) fn replay(target: &str, read: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds = 0;
    for seed in std::fs::read_dir(folder).expect("a folder of seeds") {
        let seed = seed.expect("a seed").path();
        eprintln!("{}", seed.display());
        read(&std::fs::read(&seed).expect("a seed"));
        seeds += 1;
    }
    assert!(seeds > 0, "{target} has no seeds");
}
