//! What a text is: a net, a solver, or the inside of a layer.

use super::lexer::Token;
use super::schema::Schema;
use super::tokens::Tokens;
use crate::config::aliases;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// A net.
    Net,
    /// A solver.
    Solver,
    /// What would stand between the braces of a layer.
    Layer,
}

/// Enough fields to know.
const ENOUGH: usize = 100;

/// What a text most likely is, by the names of its outermost fields.
pub fn kind_of(text: &str) -> TextKind {
    let schema = Schema::get();
    let kinds = [
        (TextKind::Net, "caffe.NetParameter"),
        (TextKind::Solver, "caffe.SolverParameter"),
        (TextKind::Layer, "caffe.LayerParameter"),
    ];
    let mut scores = kinds.map(|(kind, name)| (kind, schema.message_named(name), 0));
    let mut tokens = Tokens::new(text);
    let mut count = 0;
    while tokens.next.token != Token::End && count < ENOUGH {
        if tokens.next.token != Token::Word {
            tokens.skip_value();
            // Whatever skipping leaves in place is not worth more.
            tokens.bump();
            continue;
        }
        let name = tokens.bump().span;
        let name = &text[name.start as usize..name.end as usize];
        let name = aliases::field(name).unwrap_or(name);
        count += 1;
        for (_, message, score) in &mut scores {
            *score += usize::from(message.is_some_and(|m| schema.message(m).position(name).is_some()));
        }
        tokens.take(b':');
        tokens.skip_value();
    }
    scores.iter().rev().max_by_key(|(.., score)| *score).map_or(TextKind::Net, |(kind, ..)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_known_by_their_fields() {
        for (text, kind) in [
            ("", TextKind::Net),
            ("name: 'a' layer { type: 'ReLU' }", TextKind::Net),
            ("Layers { name: 'a' }", TextKind::Net),
            ("net: 'a' base_lr: 0.1", TextKind::Solver),
            ("net_param { layer { name: 'x' bottom: 'y' } } max_iter: 1", TextKind::Solver),
            ("name: 'a' type: 'ReLU' bottom: 'x' top: 'x'", TextKind::Layer),
            ("} ] , ; : base_lr 1 \" type: \n lr_policy: 'fixed'", TextKind::Solver),
        ] {
            assert_eq!(kind_of(text), kind, "{text}");
        }
    }
}
