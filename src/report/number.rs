//! Numbers as people read them, and as Caffe's log shows them.

/// A number with six significant digits, as C++ streams and `%g` print it.
pub fn general(v: f64) -> String {
    if !v.is_finite() {
        return if v.is_nan() {
            "nan".into()
        } else if v > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    if v == 0.0 {
        return "0".into();
    }
    let scientific = format!("{v:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return trimmed(&format!("{v:.*}", (5 - exponent) as usize)).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

/// A measured number with three digits that count, and all before the point: `0.123`, `12.3`, `1234`.
pub fn short(v: f64) -> String {
    let digits =
        if v.is_finite() && v > 0.0 { (2.0 - v.log10().floor()).clamp(0.0, 3.0) as usize } else { 0 };
    format!("{v:.digits$}")
}

/// `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.5 MiB`.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_printf_g() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (2.345_678, "2.34568"),
            (123456.0, "123456"),
            (1234567.0, "1.23457e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.5, "-0.5"),
            (999999.5, "1e+06"),
            (100.0, "100"),
            (1e-12, "1e-12"),
        ];
        for (v, want) in cases {
            assert_eq!(general(v), want);
        }
        assert_eq!((general(f64::NAN), general(f64::NEG_INFINITY)), ("nan".into(), "-inf".into()));
    }

    #[test]
    fn large_numbers_are_readable() {
        assert_eq!([0, 999, 1000, 60_965_224].map(grouped), ["0", "999", "1,000", "60,965,224"]);
        assert_eq!([0, 1023, 1536, 3 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
    }

    #[test]
    fn measured_numbers_are_short() {
        let shown = [0.0, 0.01234, 0.5, 1.0, 12.34, 123.4, 12345.6].map(short);
        assert_eq!(shown, ["0", "0.012", "0.500", "1.00", "12.3", "123", "12346"]);
    }
}
