//! Times as people write them: RFC 3339 in UTC, or so long after something.

/// Milliseconds of each unit of a span.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// The first ms of the year 10000, which RFC 3339 cannot write.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

/// `90s`, `1d`, `250ms`: a span in ms.
pub fn span(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*ms)
}

/// How a span is written: in the largest unit that leaves nothing over.
pub fn span_written(ms: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| ms > 0 && ms.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().rev().find(whole).unwrap_or(&UNITS[0]);
    format!("{}{name}", ms / unit)
}

/// The time that `text` names: `2030-01-01T00:00:00Z`, with a fraction of at most three digits.
pub fn rfc3339(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, clock) = text.split_once('T')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let number = |part: &str, width: usize| -> Option<u64> {
        (part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let [year, month, day] = parts(date, '-')?;
    let [hour, minute, second] = parts(clock, ':')?;
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    if !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 || fraction.len() > 3
    {
        return None;
    }
    let ms = match fraction.len() {
        0 => 0,
        width => number(fraction, width)? * 10u64.pow(3 - width as u32),
    };
    let days = days_before(year, month, day)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    // A day that the month does not have would be another day when written again.
    Some(seconds * 1_000 + ms).filter(|ms| civil(ms / 86_400_000) == (year, month, day))
}

/// How a time is written, if it can be.
pub fn written(ms: u64) -> Option<String> {
    if ms >= YEAR_10000_MS {
        return None;
    }
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    let fraction = if rest % 1_000 == 0 { String::new() } else { format!(".{:03}", rest % 1_000) };
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
}

fn parts(text: &str, by: char) -> Option<[&str; 3]> {
    let mut parts = text.split(by);
    let found = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(found)
}

/// Days from the Unix epoch to a day of the Gregorian calendar; years are counted from March, so that the day that
/// comes and goes is the last one.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

/// The day of the Gregorian calendar that begins `days` after the Unix epoch.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    (year + era * 400, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_rfc_3339() {
        let rows = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2030-01-01T00:00:00Z", Some(1_893_456_000_000)),
            ("2024-02-29T23:59:59.001Z", Some(1_709_251_199_001)),
            ("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999)),
            ("2023-02-29T00:00:00Z", None),
            ("2030-13-01T00:00:00Z", None),
            ("2030-01-01T24:00:00Z", None),
            ("2030-01-01T00:00:00", None),
            ("2030-01-01T00:00:00+01:00", None),
            ("1969-12-31T00:00:00Z", None),
        ];
        for (text, expected) in rows {
            assert_eq!(rfc3339(text), expected, "{text}");
            if let Some(ms) = expected {
                assert_eq!(written(ms).as_deref(), Some(text));
            }
        }
        assert_eq!(written(YEAR_10000_MS), None);
        for (text, expected) in [("90s", Some(90_000)), ("1d", Some(86_400_000)), ("5", None), ("x", None)] {
            assert_eq!(span(text), expected, "{text}");
        }
        for (ms, expected) in
            [(0, "0ms"), (250, "250ms"), (90_000, "90s"), (604_800_000, "7d"), (90_000_000, "25h")]
        {
            assert_eq!(span_written(ms), expected);
            assert_eq!(span(expected), Some(ms));
        }
    }
}
