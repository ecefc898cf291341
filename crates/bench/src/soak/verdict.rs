//! Whether a figure grows: its second half against its first.

/// The share of itself by which a figure may differ at the end of a run from its beginning.
const SHARE: f64 = 0.1;

/// A figure over time, in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Course {
    /// Median of the first half.
    pub(super) first: f64,
    /// Median of the second half.
    pub(super) second: f64,
    pub(super) highest: f64,
    /// By how much it grew from the beginning to the end: what a straight line through both medians does.
    pub(super) growth: f64,
    /// How much it may grow.
    pub(super) allowed: f64,
}

impl Course {
    /// The course of `values`, which were read one after the other at the same distance; `None` when there are too
    /// few. Up to `floor` of growth says nothing.
    pub(super) fn of(values: &[f64], floor: f64) -> Option<Course> {
        let (early, late) = values.split_at(values.len() / 2);
        let (first, second) = (crate::median(early.to_vec())?, crate::median(late.to_vec())?);
        // The medians lie half a run apart.
        let growth = 2.0 * (second - first);
        let highest = values.iter().copied().fold(f64::MIN, f64::max);
        Some(Course { first, second, highest, growth, allowed: floor.max(SHARE * first) })
    }

    pub(super) fn is_flat(self) -> bool {
        self.growth <= self.allowed
    }
}

#[cfg(test)]
mod tests {
    use super::Course;

    /// Whether a figure is flat that is made of its number in the row of readings.
    fn flat(value: fn(f64) -> f64, floor: f64) -> bool {
        let values: Vec<f64> = (0..300).map(|number| value(f64::from(number))).collect();
        Course::of(&values, floor).unwrap().is_flat()
    }

    #[test]
    fn what_grows_is_told_from_what_swings() {
        assert!(flat(|_| 80.0, 0.0));
        assert!(flat(|n| 80.0 - n / 10.0, 0.0), "less is no growth");
        assert!(flat(|n| 80.0 + 30.0 * (n / 7.0).sin(), 0.0), "it swings");
        assert!(flat(|n| 20.0 + n % 40.0, 0.0), "a sawtooth");
        assert!(flat(|n| if n > 290.0 { 400.0 } else { 80.0 }, 0.0), "a peak that passes");
        assert!(!flat(|n| 80.0 + n / 30.0, 0.0), "an eighth more at the end");
        assert!(flat(|n| 80.0 + n / 30.0, 12.0), "which is too little to say anything");
        assert!(!flat(|n| 20.0 + n % 40.0 + n / 10.0, 0.0), "a sawtooth that climbs");
        assert!(!flat(|n| n / 100.0, 1.0), "from nothing");
    }

    #[test]
    fn too_few_readings_say_nothing() {
        assert_eq!(Course::of(&[1.0], 0.0), None);
        let course = Course::of(&[1.0, 3.0], 5.0).unwrap();
        assert_eq!((course.first, course.second, course.highest), (1.0, 3.0, 3.0));
        assert_eq!((course.growth, course.allowed), (4.0, 5.0));
    }
}
