//! The simulator's source of chance: small, seeded, the same on every machine and version.
//!
//! The data of a run must be reproducible byte for byte, which a library's generator does not promise
//! across versions; so the few lines of SplitMix64 live here. Not for anything secret.

/// A seeded stream of pseudo-random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

/// The golden-ratio increment of SplitMix64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Dice {
    /// A stream that depends on `seed` and on every one of `parts`.
    pub(crate) fn of(seed: u64, parts: &[u64]) -> Self {
        let mut state = mix(seed.wrapping_add(STEP));
        for part in parts {
            state = mix(state ^ part.wrapping_mul(STEP).wrapping_add(STEP));
        }
        Self { state }
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// A number below `bound` of the narrower type.
    pub(crate) fn below_u32(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).unwrap_or(0)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.bits() >> 32).unwrap_or(0)) / 4_294_967_296.0
    }

    /// True with probability `share`.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// An index below `len`, 0 for an empty collection.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }

    /// One of `items`, or nothing when there is none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(items.len()))
    }

    /// A float between 1 and 2 that needs all of its digits when printed.
    pub(crate) fn long_float(&mut self) -> f64 {
        f64::from_bits((0x3FF << 52) | (self.bits() >> 12))
    }
}

/// The finaliser of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
