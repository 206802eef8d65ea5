//! "Did you mean": the closest of the words that would have been right; and hints at the end of messages.

/// Words longer than this are not typing errors.
const LONGEST: usize = 64;

/// The candidate that `word` is most likely a slip for, if any is close enough: other case, or one edit per
/// three letters. The first of equally close ones wins.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (word.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        if letters.len().abs_diff(word.len()) > limit || letters.len() > LONGEST {
            continue;
        }
        let distance = edit_distance(&word, &letters);
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    // One letter out of one is not a likeness.
    best.filter(|&(distance, _)| distance < word.len()).map(|(_, candidate)| candidate)
}

/// What a message ends with about such a word: `; did you mean ...?`, or nothing.
pub fn or_did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(word, candidates).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
}

/// A message and its hint: what follows the first semicolon of a message is what to do.
pub fn message_and_hint(message: &str) -> (&str, Option<&str>) {
    message.split_once("; ").map_or((message, None), |(message, hint)| (message, Some(hint)))
}

/// The candidate that `word` is a slip for beyond doubt: one of other case or `_`, or with one letter within a long word
/// swapped, doubled, missing or another. What lies further off may be a word of its own: `SELU` is not `ELU`.
pub fn surely_meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    did_you_mean(word, candidates).filter(|candidate| is_slip(word, candidate))
}

fn is_slip(word: &str, right: &str) -> bool {
    const LONG: usize = 8;
    let fold = |w: &str| w.to_lowercase().chars().filter(|&c| c != '_').collect::<Vec<char>>();
    let digits = |w: &[char]| w.iter().copied().filter(char::is_ascii_digit).collect::<Vec<char>>();
    let (word, right) = (fold(word), fold(right));
    // Both ends and all numbers tell relatives apart: `stride_d` and `stride_h`, `Convolution3D` and `Convolution`.
    let ends = word.first() == right.first() && word.last() == right.last();
    word == right
        || word.len() >= LONG && ends && digits(&word) == digits(&right) && edit_distance(&word, &right) == 1
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string
/// alignment: no part is edited twice).
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: &str, b: &str) -> usize {
        edit_distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
    }

    #[test]
    fn distances_by_hand() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("stirde", "stride"), 1);
        assert_eq!(distance("pad", "pad"), 0);
    }

    #[test]
    fn only_a_slip_is_beyond_doubt() {
        let slips = [
            ("Relu", "ReLU"),
            ("softmax_with_loss", "SoftmaxWithLoss"),
            ("Poolling", "Pooling"),
            ("Convolutoin", "Convolution"),
            ("kernal_size", "kernel_size"),
        ];
        slips.iter().for_each(|&(word, right)| assert_eq!(surely_meant(word, [right]), Some(right)));
        let others = [
            ("SELU", "ELU"),
            ("ReLU6", "ReLU"),
            ("TanHLU", "TanH"),
            ("Convolution3D", "Convolution"),
            ("Upscale", "Scale"),
            ("SUB", "SUM"),
            ("stride_d", "stride_h"),
            ("momentum3", "momentum2"),
            ("HDF4Data", "HDF5Data"),
            ("PSROIPooling", "ROIPooling"),
            ("SoftmaxWithLossOHEM", "SoftmaxWithLoss"),
        ];
        others.iter().for_each(|&(word, right)| assert_eq!(surely_meant(word, [right]), None, "{word}"));
    }

    #[test]
    fn picks_the_closest_or_none() {
        let fields = ["num_output", "kernel_size", "kernel_h", "stride"];
        assert_eq!(did_you_mean("kernal_size", fields), Some("kernel_size"));
        assert_eq!(did_you_mean("Stride", fields), Some("stride"));
        assert_eq!(did_you_mean("dropout", fields), None);
        assert_eq!(did_you_mean("x", ["y"]), None);
        assert_eq!(did_you_mean(&"x".repeat(1000), fields), None);
    }
}
