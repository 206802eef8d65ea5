//! Names that are not Caffe's: spellings of teaching material, fields of forks.

use super::hints;
use super::parser::Parser;
use crate::config::aliases;
use crate::config::diagnostic::Diagnostic;
use crate::config::forks::{self, Action, ForkField};
use crate::config::source::Span;

impl Parser<'_> {
    /// The field of this name, also under a nonstandard spelling.
    pub fn resolve(&mut self, name: Span) -> Option<usize> {
        let spelling = self.source.slice(name);
        if let Some(position) = self.message().position(spelling) {
            return Some(position);
        }
        if let Some(standard) = aliases::field(spelling)
            && let Some(position) = self.message().position(standard)
        {
            self.warn_spelling(spelling, standard, name);
            return Some(position);
        }
        let fork = forks::field(&self.message().name, spelling)?;
        let (standard, flag) = match fork.action {
            Action::Rename(field) => (field, None),
            Action::Flag(field, words) => (field, Some(words)),
            Action::Skip(_) | Action::Refuse(_) | Action::Unless(..) => return None,
        };
        let position = self.message().position(standard)?;
        let message = format!("`{spelling}` is a field of {} of Caffe", hints::forks_name(fork.fork));
        let fix = flag.is_none().then(|| standard.to_owned());
        let warning = Diagnostic::warning(message).at(self.source, name).fix(fix);
        self.warn_once(spelling, warning.hint(format!("read as `{standard}`")));
        self.flag = flag;
        Some(position)
    }

    /// Warns of a nonstandard spelling, once for each spelling.
    pub fn warn_spelling(&mut self, spelling: &str, standard: &str, at: Span) {
        let message = format!("`{spelling}` is not Caffe's spelling");
        let text = self.source.slice(at).starts_with(['"', '\'']);
        let fix = if text { format!("\"{standard}\"") } else { standard.to_owned() };
        let warning = Diagnostic::warning(message).at(self.source, at).fix(fix);
        self.warn_once(spelling, warning.hint(format!("read as `{standard}`, the standard name")));
    }

    /// Warns of a spelling, once for each.
    pub fn warn_once(&mut self, spelling: &str, warning: Diagnostic) {
        if let Some(known) = self.spellings.iter_mut().find(|(s, ..)| s == spelling) {
            known.2 += 1;
            return;
        }
        self.spellings.push((spelling.to_owned(), self.diagnostics.len(), 1));
        self.report(warning);
    }

    /// A field of a fork that is not read: skipped with a warning if nothing depends on it, else refused.
    pub fn fork_field(&mut self, fork: &ForkField, spelling: &str, name: Span) {
        let forks = hints::forks_name(fork.fork);
        let action = match fork.action {
            Action::Unless(nothing, _) if self.coming_flag() == Some(nothing) => {
                Action::Skip("it asks for nothing")
            }
            Action::Unless(_, hint) => Action::Refuse(hint),
            action => action,
        };
        match action {
            Action::Skip(why) => {
                let message = format!("`{spelling}` is a field of {forks} of Caffe and has no effect");
                self.warn_once(
                    spelling,
                    Diagnostic::warning(message).at(self.source, name).hint(why.to_owned()),
                );
            }
            Action::Refuse(hint) => {
                let hint = hints::of_fork_layer(self).unwrap_or(hint);
                let message = format!("`{spelling}` is a field of {forks} of Caffe that is not supported");
                self.error(message, name, Some(hint.to_owned()));
            }
            Action::Rename(_) | Action::Flag(..) | Action::Unless(..) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{proto::NetParameter, text::parse};

    #[test]
    fn flags_of_forks_that_ask_for_nothing_are_taken() {
        let text =
            "layer { batch_norm_param { eps: 1 scale_bias: false } dropout_param { scale_train: True } }
layer { convolution_param { num_output: 3 relu: f } batch_norm_param { scale_bias : 0 } }";
        let parsed = parse::<NetParameter>("net", text).expect("a good text");
        assert_eq!(parsed.message.layer[1].convolution_param.as_ref().map(|p| p.num_output()), Some(3));
        let warnings: Vec<(&str, Option<&str>)> =
            parsed.warnings.iter().map(|w| (&w.message[..], w.hint.as_deref())).collect();
        let expected = [("scale_bias", "NVCaffe"), ("scale_train", "Faster R-CNN"), ("relu", "Intel Caffe")];
        let expected = expected.map(|(field, fork)| {
            format!("`{field}` is a field of the fork {fork} of Caffe and has no effect")
        });
        let expected: Vec<_> =
            expected.iter().map(|message| (&message[..], Some("it asks for nothing"))).collect();
        assert_eq!(warnings, expected);
        for value in ["true", "1", "-0", "2", "maybe"] {
            let text = format!("layer {{ convolution_param {{ relu: {value} }} }}");
            let error = parse::<NetParameter>("net", text.as_str()).unwrap_err().to_string();
            assert!(error.contains("add a ReLU layer behind this one"), "{value}: {error}");
        }
    }
}
