//! Functions of the calendar: floats are seconds since the Unix epoch, results are in UTC. Histograms give nothing.
//!
//! Source: Prometheus `promql/functions.go`, `dateWrapper`; the calendar: Howard Hinnant, "chrono-Compatible Low-Level
//! Date Algorithms", `civil_from_days`.

use super::{InstantKernel, PointRef, PointValue};

/// The kernel of a function of this module.
pub(super) fn kernel(name: &str) -> Option<InstantKernel> {
    Some(match name {
        "year" => |point, _| map(point, |seconds| Date::of(seconds).year),
        "month" => |point, _| map(point, |seconds| Date::of(seconds).month),
        "day_of_month" => |point, _| map(point, |seconds| Date::of(seconds).day),
        "day_of_year" => |point, _| map(point, |seconds| Date::of(seconds).day_of_year()),
        "days_in_month" => |point, _| map(point, |seconds| Date::of(seconds).days_in_month()),
        // The epoch was a Thursday.
        "day_of_week" => |point, _| map(point, |seconds| (days(seconds) + 4).rem_euclid(7)),
        "hour" => |point, _| map(point, |seconds| seconds.rem_euclid(SECONDS_PER_DAY) / 3600),
        "minute" => |point, _| map(point, |seconds| seconds.rem_euclid(3600) / 60),
        _ => return None,
    })
}

const SECONDS_PER_DAY: i128 = 86_400;

fn days(seconds: i128) -> i128 {
    seconds.div_euclid(SECONDS_PER_DAY)
}

fn map(point: PointRef<'_>, function: fn(i128) -> i128) -> Option<PointValue> {
    match point {
        PointRef::Float(value) => Some(PointValue::Float(function(to_seconds(value)) as f64)),
        PointRef::Histogram(_) => None,
    }
}

/// Whole seconds, rounded to zero. What fits into no 64-bit integer is one more than the largest: there the originals
/// arrive on x86, where such a float becomes the lowest integer, and the start of their calendar wraps it around.
fn to_seconds(value: f64) -> i128 {
    // 2^63 is a float, so the comparison is exact.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    if fits { value as i128 } else { 1 << 63 }
}

struct Date {
    year: i128,
    /// 1 to 12.
    month: i128,
    /// 1 to 31.
    day: i128,
}

impl Date {
    fn of(seconds: i128) -> Self {
        // Counted from the first of March of year 0, so that a leap day is the last of its year.
        let shifted = days(seconds) + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i128::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        }
    }

    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(&self) -> i128 {
        match self.month {
            2 => 28 + i128::from(self.is_leap_year()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// From 1.
    fn day_of_year(&self) -> i128 {
        const DAYS_BEFORE: [i128; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let month = usize::try_from(self.month - 1).expect("months are 1 to 12");
        DAYS_BEFORE[month] + self.day + i128::from(self.month > 2 && self.is_leap_year())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::with_context;
    use super::*;

    fn check(seconds: f64, expected: [f64; 8]) {
        const NAMES: [&str; 8] =
            ["year", "month", "day_of_month", "day_of_year", "days_in_month", "day_of_week", "hour", "minute"];
        for (name, expected) in NAMES.into_iter().zip(expected) {
            let (found, _) = with_context(&[], |context| kernel(name).unwrap()(PointRef::Float(seconds), context));
            assert_eq!(found, Some(PointValue::Float(expected)), "{name}({seconds})");
        }
    }

    #[test]
    fn the_calendar_is_gregorian() {
        check(0.0, [1970.0, 1.0, 1.0, 1.0, 31.0, 4.0, 0.0, 0.0]);
        check(1_709_208_059.9, [2024.0, 2.0, 29.0, 60.0, 29.0, 4.0, 12.0, 0.0]);
        check(1_735_689_599.0, [2024.0, 12.0, 31.0, 366.0, 31.0, 2.0, 23.0, 59.0]);
        check(-1.5, [1969.0, 12.0, 31.0, 365.0, 31.0, 3.0, 23.0, 59.0]);
        check(f64::INFINITY, [292_277_026_596.0, 12.0, 4.0, 339.0, 31.0, 0.0, 15.0, 30.0]);
        check(951_868_800.0, [2000.0, 3.0, 1.0, 61.0, 31.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn no_float_panics() {
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 9.3e18, -9.3e18] {
            for name in
                ["year", "month", "day_of_month", "day_of_year", "days_in_month", "day_of_week", "hour", "minute"]
            {
                let (found, _) = with_context(&[], |context| kernel(name).unwrap()(PointRef::Float(seconds), context));
                assert!(found.is_some());
            }
        }
    }
}
