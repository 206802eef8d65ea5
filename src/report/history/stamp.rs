//! When lines of logs were written.

use std::time::SystemTime;

use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};

/// Reads the times of a log's lines, in order.
pub struct Clock {
    /// The year, which glog did not write before its version 0.6.
    year: i16,
    /// The month of the last line.
    month: i8,
}

impl Clock {
    /// For a file that was changed last at a time.
    pub fn new(changed: Option<SystemTime>) -> Self {
        let changed = changed.and_then(|time| Timestamp::try_from(time).ok());
        let year = changed.map_or(2000, |time| time.to_zoned(TimeZone::UTC).year());
        Self { year, month: 1 }
    }

    /// Looks for glog's own word of the year: `Log file created at: 2016/12/31 23:59:59`.
    pub fn look(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Log file created at: ")
            && let Some(year) = rest.get(..4).and_then(|y| y.parse().ok())
        {
            self.year = year;
        }
    }

    /// The seconds of a line that begins as glog's lines do, counted from some fixed day: `I1231 23:59:59.000000 123
    /// solver.cpp:1] message`, or `I20161231 ...`. A launcher's mark may stand before it.
    pub fn glog(&mut self, line: &str) -> Option<f64> {
        let mut words = line.split_ascii_whitespace().take(5);
        let mut before = words.next()?;
        for word in words {
            if let (Some(date), Some(seconds)) = (date(before), time(word)) {
                return self.seconds(date, seconds);
            }
            before = word;
        }
        None
    }

    fn seconds(&mut self, (year, month, day): (Option<i16>, i8, i8), seconds: f64) -> Option<f64> {
        match year {
            Some(year) => self.year = year,
            // A new year.
            None if month < self.month => self.year += 1,
            None => {}
        }
        self.month = month;
        // The 29th of February of a year that is only guessed is the day after the 28th.
        let first = civil::Date::new(self.year, month, 1).ok()?;
        let date = first.checked_add(i64::from(day - 1).days()).ok()?;
        let days = date.since(civil::date(1970, 1, 1)).ok()?.get_days();
        Some(f64::from(days) * 86_400.0 + seconds)
    }
}

/// The year, if it is there, month and day of `I1231` or `I20161231`.
fn date(word: &str) -> Option<(Option<i16>, i8, i8)> {
    let digits = word.len() - word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, digits) = word.split_at(word.len() - digits);
    if !head.ends_with(['I', 'W', 'E', 'F']) || !matches!(digits.len(), 4 | 8) {
        return None;
    }
    let (year, rest) = digits.split_at(digits.len() - 4);
    let (month, day) = (rest[..2].parse().ok()?, rest[2..].parse().ok()?);
    let year = if year.is_empty() { None } else { Some(year.parse().ok()?) };
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((year, month, day))
}

/// Seconds since midnight of `23:59:59.000000`.
fn time(word: &str) -> Option<f64> {
    let mut parts = word.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let [hour, minute]: [f64; 2] = [hour.parse::<u8>().ok()?.into(), minute.parse::<u8>().ok()?.into()];
    let plain = second.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let second: f64 = second.parse().ok().filter(|_| plain)?;
    parts.next().is_none().then_some(hour * 3600.0 + minute * 60.0 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_years_go_by() {
        let mut clock = Clock::new(None);
        clock.look("Log file created at: 2016/12/31 23:59:58");
        let mut at = |line: &str| clock.glog(line);
        let before = at("I1231 23:59:59.500000  1234 solver.cpp:228] Iteration 0, loss = 1").unwrap();
        assert_eq!(at("I0101 00:00:01.250000  1234 solver.cpp:228] Iteration 1").unwrap() - before, 1.75);
        assert_eq!(at("[1,0]<stderr>:I0101 00:00:01.250000 9 x] y").unwrap() - before, 1.75);
        assert_eq!(at("W20170102 00:00:01.250000 9 x] y").unwrap() - before, 86_401.75);
        for line in ["", "Iteration 0", "I1331 23:59:59.5 1 x] y", "I0101 1:2 1 x]", "I0101 00:00:0x 1 x]"] {
            assert_eq!(at(line), None, "{line}");
        }
    }

    #[test]
    fn a_leap_day_in_a_year_that_has_none_is_a_day() {
        let mut clock = Clock::new(None);
        clock.look("Log file created at: 2017/02/28");
        let before = clock.glog("I0228 00:00:00.000000 1 x] y").unwrap();
        assert_eq!(clock.glog("I0229 00:00:00.000000 1 x] y").unwrap() - before, 86_400.0);
    }
}
